import type { AuditEvent } from '../domain/audit.ts';
import type { KnownPrincipal } from '../domain/ports/principalDirectory.ts';
import type { Requester } from '../domain/principal.ts';
import type { ApiPorts } from './ports.ts';
import { RequesterView } from './runView.ts';

type Named = Pick<NonNullable<AuditEvent['actor']>, 'id' | 'actor'> | null;

/** The principal behind an id in a record. */
export const WhoView = RequesterView.nullable();

/** Finds the principals of all ids at once; `null` for an unknown principal, and without an id. */
export async function resolvePrincipals(
  { principalDirectory }: ApiPorts,
  tenant: string,
  named: readonly Named[],
): Promise<(one: Named) => Requester | null> {
  const known = await principalDirectory.find(tenant, [...new Set(named.flatMap((one) => one?.id ?? []))]);
  return (one) => (one ? withActor(known.get(one.id), one) : null);
}

function withActor(known: KnownPrincipal | undefined, { actor }: NonNullable<Named>): Requester | null {
  return known ? { ...known, ...(actor && { actor }) } : null;
}
