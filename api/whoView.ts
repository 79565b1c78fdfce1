import type { AuditEvent } from '../domain/audit.ts';
import type { KnownPrincipal } from '../domain/ports/principalDirectory.ts';
import type { Requester } from '../domain/principal.ts';
import type { ApiPorts } from './ports.ts';
import { RequesterView } from './runView.ts';

type Named = Pick<NonNullable<AuditEvent['actor']>, 'id' | 'actor'> | null;

/** Who somebody is whom a record names by their id. */
export const WhoView = RequesterView.nullable();

/** Finds out at once who all of them are; `null` where the tenant has never met them, and for nobody. */
export async function resolvePrincipals(
  { directory }: ApiPorts,
  tenant: string,
  named: readonly Named[],
): Promise<(one: Named) => Requester | null> {
  const known = await directory.find(tenant, [...new Set(named.flatMap((one) => one?.id ?? []))]);
  return (one) => (one ? withActor(known.get(one.id), one) : null);
}

function withActor(known: KnownPrincipal | undefined, { actor }: NonNullable<Named>): Requester | null {
  return known ? { ...known, ...(actor && { actor }) } : null;
}
