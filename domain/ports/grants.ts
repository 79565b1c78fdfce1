import type { DecisionClaims, decisionType } from '../approvals/decision.ts';
import type { AuditEvent } from '../audit.ts';
import type { GrantClaims, grantType, VerifiedGrant } from '../grants/grant.ts';
import type { GrantKey, GrantKeyState } from '../grants/grantKey.ts';
import type { StepTokenClaims, stepTokenType } from '../grants/stepToken.ts';
import type { DelegationClaims, delegationType } from '../schedules/delegation.ts';

/** Signs grants, and what else a worker has to believe. Only the API has one. Throws `DatabaseUnavailable`, `RevocationsUnavailable` or `KeysUnavailable`. */
export interface GrantSigner {
  /** Default `typ`: a grant’s. */
  sign(
    claims: GrantClaims | StepTokenClaims | DecisionClaims | DelegationClaims,
    typ?: typeof grantType | typeof stepTokenType | typeof decisionType | typeof delegationType,
  ): Promise<string>;
  /** Public keys, current, future and retired, as a JWK Set (RFC 7517). */
  publicKeys(): Promise<{ keys: object[] }>;
}

/** The keys behind it, as operators see them. Throws what `GrantSigner` throws. */
export interface GrantKeys {
  /** Newest first. */
  list(): Promise<(GrantKey & { state: GrantKeyState })[]>;
  /**
   * Adds a key, which soon takes the place of the one that signs now; `by` says for the audit who asked. Where one is on
   * its way already, that is the answer and nothing is added.
   */
  rotate(
    by: Pick<AuditEvent, 'tenant' | 'actor' | 'txn'> & Partial<Pick<AuditEvent, 'detail'>>,
  ): Promise<GrantKey & { state: GrantKeyState }>;
}

/**
 * Verifies grants by public keys alone. Throws `GrantMalformed`, `GrantAlgorithmUnsupported`, `GrantTypeMismatch`,
 * `GrantKeyNotFound`, `GrantKeyRetired`, `GrantInvalid`, `GrantIssuerMismatch` or `KeysUnavailable`.
 */
export interface GrantVerifier<Claims = GrantClaims> {
  verify(grant: string): Promise<VerifiedGrant<Claims>>;
}
