import type { ErrorCode } from './errors.ts';

/**
 * What follows from a check that fails. *forged*: the attempt ends for good, and the run with it; *withdrawn*: the
 * run is suspended and goes on from where it stood once the right is back; *undecidable*: this attempt is refused
 * and asked again, without limit.
 */
export type Refusal = 'forged' | 'withdrawn' | 'undecidable';

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
