import type { Requester } from './principal.ts';

/**
 * `principal`: the caller or actor with that `prn_…` in the tenant; `grant`: the run of that id, or the one
 * grant of that `jti`; `key`: every grant that the key has signed, of all tenants; `delegation`: a consent of a schedule.
 */
export const revocationKinds = ['principal', 'grant', 'key', 'delegation'] as const;
export type RevocationKind = (typeof revocationKinds)[number];

/** A revocation that is in force. Times are RFC 3339. */
export interface StandingRevocation {
  /** `rev_…` */
  id: string;
  kind: RevocationKind;
  target: string;
  /** `null` for keys, which belong to no tenant, and for a sign-out, which counts in each tenant. */
  tenant: string | null;
  /** Only tokens and grants issued at or before this are void, as after a logout. `null`: all, until it is lifted. */
  issuedUntil: string | null;
}

/** The record of a revocation, in force or lifted. */
export interface Revocation extends StandingRevocation {
  reason: string | null;
  /** `null` where an identity provider said so. */
  revokedBy: Pick<Requester, 'id' | 'kind' | 'actor'> | null;
  createdAt: string;
  liftedBy: Pick<Requester, 'id' | 'kind' | 'actor'> | null;
  liftedAt: string | null;
}

/** What a caller or a run relies on, a token or a grant, with all of it that can be revoked. */
export interface Credential {
  tenant: string;
  /** `prn_…` of the principal, and of who acts for them. */
  principals: readonly string[];
  /** Seconds since 1970. */
  issuedAtS: number;
  /**
   * Given to count when who gave it is away: the consent of a schedule and what comes of it, a decision. Signing out leaves it, and
   * a revocation of its owner makes it void as well.
   */
  outlastsSession?: boolean;
  /** `jti` of a grant and the id of its run. */
  grants?: readonly string[];
  /** `dlg_…` of the consent that it comes from. */
  delegation?: string;
  /** Thumbprint of the key that signed a grant. */
  key?: string;
}

/** A key by itself, of which only its own revocation says anything. */
export function ofKey(key: string): Credential {
  return { tenant: '', principals: [], issuedAtS: 0, key };
}

/** Whether the revocation is about this credential. Compared with `===` only. */
export function voids(revocation: StandingRevocation, credential: Credential): boolean {
  const { kind, target, tenant, issuedUntil } = revocation;
  if (kind === 'key') return target === credential.key;
  if (tenant !== null && tenant !== credential.tenant) return false;
  if (issuedUntil !== null && !isOfSession(credential, issuedUntil)) return false;
  if (kind === 'delegation') return target === credential.delegation;
  if (kind === 'principal') return credential.principals.some((id) => id === target);
  return kind === 'grant' && (credential.grants ?? []).some((id) => id === target);
}

function isOfSession({ issuedAtS, outlastsSession }: Credential, issuedUntil: string): boolean {
  return !outlastsSession && issuedAtS * 1000 <= Date.parse(issuedUntil);
}
