import type { ErrorCode } from '../errors.ts';

/**
 * What follows from a check that fails. *forged*: the attempt ends for good, and the run with it; *withdrawn*: the
 * run is suspended and goes on from where it stood once the right is back; *undecidable*: this attempt is refused
 * and asked again, without limit.
 */
export type Refusal = 'forged' | 'withdrawn' | 'undecidable';

/** Every code with which an attempt is refused for good or until a right is back, in the order of the checks. */
const refusing: readonly string[] = [
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
  // Found by the steps that a gate stands before.
  'ApprovalRequired',
  // Of what comes after the checks: the record of the run, which ended before somebody had its workflow begin again.
  'RunEnded',
] satisfies ErrorCode[];

export function isRefusal(code: unknown): boolean {
  return refusing.some((one) => one === code);
}

/**
 * Failures of a step that suspend its run instead of ending it. A definition that no worker has is asked for again
 * a few times first. Free of imports that run, since workflows read it.
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
