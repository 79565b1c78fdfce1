import { sha256 } from './sha256.ts';

/** Who acts, as verified OIDC claims say. `id` is opaque (`prn_…`) and safe to show; the subject alone never identifies. */
export interface Principal {
  id: string;
  issuer: string;
  subject: string;
  kind: PrincipalKind;
  tenant: string;
  roles: readonly string[];
  /** Which human that is, opaque (`per_…`), where the issuer says: one and the same for all accounts of theirs. */
  person?: string;
  /** Who really sends the request when an agent or a scheduler acts for the principal (RFC 8693 `act`). */
  actor?: { id: string; issuer: string; subject: string; kind: PrincipalKind };
}

/**
 * The opaque id: `prn_` and 22 characters of SHA-256. Subjects are unique within their issuer only, and the zero byte keeps `a` + `bc` apart
 * from `ab` + `c`.
 */
export function principalId(issuer: string, subject: string): string {
  const digest = sha256(new TextEncoder().encode(`${issuer}\0${subject}`));
  const bytes = digest.match(/../g)!.map((byte) => Number.parseInt(byte, 16));
  const text = btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_');
  return `prn_${text.slice(0, 22)}`;
}

/** Characters of the longest role that a project can declare. */
export const roleNameMax = 100;

export const principalKinds = ['person', 'service', 'agent'] as const;
export type PrincipalKind = (typeof principalKinds)[number];

/** The part of a principal that a run shows and a grant carries. */
export type Requester = Pick<Principal, 'id' | 'issuer' | 'subject' | 'kind' | 'person' | 'actor'>;

export function requesterOf({ id, issuer, subject, kind, person, actor }: Principal): Requester {
  return { id, issuer, subject, kind, ...(person && { person }), ...(actor && { actor }) };
}

/** Whether two accounts are of one human, as far as is known. */
export function isSamePerson(
  one: Pick<Principal, 'id' | 'person'>,
  other: Pick<Principal, 'id' | 'person'>,
): boolean {
  return one.id === other.id || (one.person !== undefined && one.person === other.person);
}
