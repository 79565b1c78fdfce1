import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';

/** Why a run ended, as its record shows it: the code of the activity that failed, and its public message. */
export function reasonOf(error: unknown): { code: string; message: string } {
  const cause = rootOf(error);
  if (isCancellation(error) || cause instanceof CancelledFailure) {
    return { code: 'RunCancelled', message: 'The run was cancelled.' };
  }
  if (cause instanceof ApplicationFailure) return { code: cause.type ?? 'Internal', message: cause.message };
  return { code: 'Internal', message: 'Something went wrong on our side.' };
}

/**
 * The error of a step, or the cancellation that it comes from: a step that was to end, and whose worker died or had no time to hear of
 * it, ends by its time, and is not tried again.
 */
export function asCancelled(error: unknown): unknown {
  const given = error instanceof ActivityFailure && error.retryState === 'CANCEL_REQUESTED';
  return given && !isCancellation(error) ? new CancelledFailure('The step was cancelled.', [], error) : error;
}

/** The one thing that workflow code throws. `type` is the code, so that Temporal’s Web UI and its API show it. */
export function toWorkflowFailure(error: unknown): ApplicationFailure {
  const { code, message } = reasonOf(error);
  return ApplicationFailure.create({ type: code, message, nonRetryable: true, cause: error as Error });
}

/** A suspended run whose right did not come back. */
export function overdue(): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'DeadlineExceeded',
    message: 'The run was suspended for as long as its pipeline allows.',
    nonRetryable: true,
  });
}

/**
 * Whether a step that failed near, attempt after attempt, may succeed far: where a database does not answer, attempts fail by
 * their time. Such a failure has an `ActivityFailure` around it; what a local activity threw itself comes as it was thrown.
 */
export function mayPass(error: unknown): boolean {
  const cause = rootOf(error);
  return cause instanceof TimeoutFailure || (cause instanceof ApplicationFailure && !cause.nonRetryable);
}

function rootOf(error: unknown): unknown {
  return error instanceof ActivityFailure ? (error.cause ?? error) : error;
}
