import type { AuditEvent } from '../audit.ts';
import type { Credential, Revocation, RevocationKind, StandingRevocation } from '../revocation.ts';

/** What has been revoked, as of at most 10 s ago. Asked without I/O before every attempt and every request. */
export interface Revocations {
  /** The revocation that makes a credential void, or `undefined`. Throws `RevocationsUnavailable` once its knowledge is older. */
  find(credential: Credential): StandingRevocation | undefined;
}

/** The records behind it: what the API writes and shows. All of it throws `DatabaseUnavailable`. */
export interface RevocationRecords {
  /**
   * Revokes a right. One that is revoked already stays as it is; of two with an `issuedUntil` the later one counts.
   * `audit` is recorded, in the same transaction and for that tenant, where something changed.
   */
  revoke(
    tenant: string,
    wanted: Pick<Revocation, 'kind' | 'target' | 'issuedUntil' | 'reason' | 'revokedBy'>,
    audit: (revocation: Revocation) => AuditEvent,
  ): Promise<{ revocation: Revocation; created: boolean }>;
  /**
   * Gives a right back and wakes the suspended runs that may go on with it. One that was given back already stays as it
   * is; `undefined` where there is none of that id in the scope.
   */
  lift(
    scope: RevocationScope,
    id: string,
    liftedBy: Revocation['liftedBy'],
    audit: (revocation: Revocation) => AuditEvent,
  ): Promise<Revocation | undefined>;
  /** Whether the principal has done anything in the tenant lately, or had it done; `undefined` where that cannot be said soon. Never throws. */
  hasSeen(tenant: string, principal: string): Promise<boolean | undefined>;
  find(scope: RevocationScope, id: string): Promise<Revocation | undefined>;
  /** Those that stand, newest first. `cursor` is what `nextCursor` of the page before said. */
  list(
    scope: RevocationScope,
    filter: { kind?: RevocationKind; target?: string; limit: number; cursor?: string },
  ): Promise<{ items: Revocation[]; nextCursor: string | null }>;
}

/** Which revocations: those of a tenant and, for operators of the operating tenant, those of keys. */
export interface RevocationScope {
  tenant: string;
  keys: boolean;
}
