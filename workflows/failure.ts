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
  if (cause instanceof TimeoutFailure) {
    return { code: 'RunOverdue', message: 'The run did not end within the deadline of its pipeline.' };
  }
  return { code: 'Internal', message: 'Something went wrong on our side.' };
}

/** The one thing that workflow code throws. `type` is the code, so that Temporal’s Web UI and its API show it. */
export function toWorkflowFailure(error: unknown): ApplicationFailure {
  const { code, message } = reasonOf(error);
  return ApplicationFailure.create({ type: code, message, nonRetryable: true, cause: error as Error });
}

function rootOf(error: unknown): unknown {
  return error instanceof ActivityFailure ? (error.cause ?? error) : error;
}
