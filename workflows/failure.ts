import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';

const internalMessage = 'An internal error occurred. Ask an operator to look it up in the log.';

/** The reason in the run's record: the code of the failed activity and its public message. */
export function reasonOf(error: unknown): { code: string; message: string } {
  const cause = rootOf(error);
  if (isCancellation(error) || cause instanceof CancelledFailure) {
    return { code: 'RunCancelled', message: 'The run was cancelled.' };
  }
  if (cause instanceof ApplicationFailure) return { code: cause.type ?? 'Internal', message: cause.message };
  return { code: 'Internal', message: internalMessage };
}

/**
 * The error of a step, or the cancellation behind it: a step that was cancelled while its worker died or was too busy to learn of it
 * ends by timeout, and is not retried.
 */
export function asCancelled(error: unknown): unknown {
  const given = error instanceof ActivityFailure && error.retryState === 'CANCEL_REQUESTED';
  return given && !isCancellation(error) ? new CancelledFailure('The step was cancelled.', [], error) : error;
}

/** The only failure that workflow code throws. `type` is the code, so Temporal’s Web UI and API show it. */
export function toWorkflowFailure(error: unknown): ApplicationFailure {
  const { code, message } = reasonOf(error);
  return ApplicationFailure.create({ type: code, message, nonRetryable: true, cause: error as Error });
}

/** The right of a suspended run was not restored in time. */
export function deadlineExceeded(): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'DeadlineExceeded',
    message: 'The run was suspended for as long as its pipeline allows.',
    nonRetryable: true,
  });
}

/**
 * Whether a step that failed as a local activity may succeed as a remote one: while a database does not answer, attempts time out.
 * A timeout is wrapped in an `ActivityFailure`; an error that a local activity threw is not wrapped.
 */
export function isRetryable(error: unknown): boolean {
  const cause = rootOf(error);
  return cause instanceof TimeoutFailure || (cause instanceof ApplicationFailure && !cause.nonRetryable);
}

/**
 * A step’s result that no step of ours returns. Every client that reaches Temporal can complete an activity, so the workflow checks
 * each result that it would wait for or loop on.
 */
export function invalidResult(step: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'StepResultInvalid',
    message: `The step ${step} returned a result that contradicts the record of the run. Start a new run.`,
    nonRetryable: true,
  });
}

function rootOf(error: unknown): unknown {
  return error instanceof ActivityFailure ? (error.cause ?? error) : error;
}
