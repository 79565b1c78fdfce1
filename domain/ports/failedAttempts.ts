import type { FailedAttempt, RunRef } from '../runs/run.ts';

/** The last failed attempt of each open run. All of it throws `DatabaseUnavailable`. */
export interface FailedAttempts {
  /** Replaces what is recorded of the run. */
  record(run: RunRef, failed: FailedAttempt): Promise<void>;
  /** The step has succeeded: forgets its failed attempt, if that was the last. */
  clear(run: RunRef, step: string): Promise<void>;
}
