import type { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { ErrorCode, WaybillError } from '../../domain/errors.ts';

/**
 * What is likely to stay as it is ends the run after about this many attempts, 30 s apart in the end: some ten minutes.
 * A definition that no worker has suspends it, after a minute in which a deployment may bring it.
 */
const attemptsMax: Partial<Record<ErrorCode, number>> = {
  DefinitionUnavailable: 8,
  SourceUnavailable: 25,
  BatchNotFound: 25,
  Internal: 25,
};

/** What happens every day and is no failure of ours: a receiver that is away, or that has enough to do. */
const everyday: readonly ErrorCode[] = ['CallbackFailed', 'ReceiverBusy', 'SystemUnavailable'];

/** How many attempts have only waited for another system: they do not count. */
export function waitsOf({ info }: Pick<Context, 'info'>): number {
  const told: unknown = info.heartbeatDetails;
  return Number.isSafeInteger(told) ? Math.min(Math.max(told as number, 0), info.attempt - 1) : 0;
}

/** The one place where our errors become Temporal’s: `type` is the code, retries follow the table of errors. */
export function activityFailureOf(error: WaybillError, context: Context): ApplicationFailure {
  // Public message only: failures are plaintext in history. The detail goes to the worker’s log.
  const benign = everyday.includes(error.code);
  context.log[benign ? 'debug' : 'warn']('attempt failed', {
    code: error.code,
    detail: error.detail,
    cause: String(error.cause ?? ''),
  });
  const waits = waitsOf(context);
  if (error.code === 'SystemUnavailable') context.heartbeat(waits + 1);
  const exhausted = context.info.attempt - waits >= (attemptsMax[error.code] ?? Number.POSITIVE_INFINITY);
  return ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: !error.retryable || exhausted,
    ...(error.retryAfterMs !== undefined && { nextRetryDelay: error.retryAfterMs }),
    ...(benign && { category: ApplicationFailureCategory.BENIGN }),
  });
}
