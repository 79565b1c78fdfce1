import type { GrantClaims, VerifiedGrant, WorkflowGrantClaims } from '../grants/grant.ts';

/**
 * What holds today, beside what a grant says. Answers at once, from knowledge of at most 10 s of age; where that is
 * older, it throws a retryable `WaybillError` (`RevocationsUnavailable`, `PolicyUnavailable`), and the attempt is
 * retried.
 */
export interface Authorizer<Claims extends WorkflowGrantClaims | GrantClaims = GrantClaims> {
  /** Whether this process has exactly the definition that was granted. */
  hasDefinition(claims: Claims): boolean;
  isRevoked(grant: VerifiedGrant<Claims>): boolean;
  /**
   * Resolves once this process knows of what was committed before the call. Asked before an attempt is rejected and before a run
   * resumes, because a right may have been restored or revoked since. Default: what is known is current.
   */
  refresh?(): Promise<unknown>;
  /** Whether today’s policy lets the principal do the step; where not, what to tell the audit. */
  decide(claims: Claims, step: string): StepDecision;
}

export interface StepDecision {
  allowed: boolean;
  policies: readonly string[];
  /** Of the set that decided; `null` where there is none to ask. */
  digest: string | null;
}
