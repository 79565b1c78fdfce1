/** Who acts, as verified OIDC claims say. `id` is opaque (`prn_…`) and safe to show; the subject alone never identifies. */
export interface Principal {
  id: string;
  issuer: string;
  subject: string;
  kind: PrincipalKind;
  tenant: string;
  roles: readonly string[];
  /** Who really sends the request when an agent or a scheduler acts for the principal (RFC 8693 `act`). */
  actor?: { id: string; issuer: string; subject: string; kind: PrincipalKind };
}

export type PrincipalKind = 'person' | 'service' | 'agent';

/** The part of a principal that a run shows and a grant carries. */
export type Requester = Pick<Principal, 'id' | 'issuer' | 'subject' | 'kind' | 'actor'>;

export function requesterOf({ id, issuer, subject, kind, actor }: Principal): Requester {
  return { id, issuer, subject, kind, ...(actor && { actor }) };
}
