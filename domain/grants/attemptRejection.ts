import type { ErrorCode } from '../errors.ts';

/**
 * What a failed check means. *invalid*: the run fails. *revoked*: the run is suspended, and continues from where it stood once access is
 * restored. *unavailable*: the check cannot be made now, and the attempt is retried without limit.
 */
export type CheckOutcome = 'invalid' | 'revoked' | 'unavailable';

/** The codes that reject an attempt without a retry, in the order of the checks. */
const rejecting: readonly string[] = [
  'GrantMissing',
  'GrantMalformed',
  'GrantAlgorithmUnsupported',
  'GrantTypeMismatch',
  'GrantKeyNotFound',
  'GrantKeyRetired',
  'GrantInvalid',
  'GrantIssuerMismatch',
  'GrantMismatch',
  'StepNotGranted',
  'GrantExpired',
  'GrantRevoked',
  'PolicyDenied',
  // The steps behind an approval gate find this.
  'ApprovalRequired',
  // Comes after the checks: the recorded run has ended, and its workflow was started again in Temporal itself.
  'RunEnded',
] satisfies ErrorCode[];

export function rejectsAttempt(code: unknown): boolean {
  return rejecting.some((one) => one === code);
}

/**
 * Failures of a step that suspend its run. A missing definition is retried a few times first. Workflows import this file, so it
 * imports only types.
 */
const suspending: readonly string[] = [
  'GrantExpired',
  'GrantRevoked',
  'PolicyDenied',
  'DefinitionUnavailable',
] satisfies ErrorCode[];

export function suspends(code: string | null | undefined): boolean {
  return code != null && suspending.includes(code);
}
