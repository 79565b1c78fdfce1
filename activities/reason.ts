import { type ErrorCode, errors } from '../domain/errors.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';

/**
 * What is recorded of a reason that a workflow gives: a code of ours with its own public message. Whoever drives a workflow by
 * hand chooses the arguments of its steps, and those are shown to others.
 */
export function knownReason(given: RunReason | undefined): RunReason {
  const code: unknown = given?.code;
  const known = typeof code === 'string' && Object.hasOwn(errors, code) ? (code as ErrorCode) : 'Internal';
  return { code: known, message: errors[known].message };
}
