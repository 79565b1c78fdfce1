import { setTimeout as pause } from 'node:timers/promises';
import type { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { msOptionalToNumber, msToNumber } from '@temporalio/common/lib/time.js';
import { errors } from '../../domain/errors.ts';
import type { FailedAttempts } from '../../domain/ports/failedAttempts.ts';
import type { RunRef } from '../../domain/runs/run.ts';

/** A database that does not answer is a usual reason of failures, and must not delay the answer to Temporal. */
const reportMaxMs = 2_000;
const runsMax = 1_000;

export interface AttemptReports {
  failed(run: RunRef, error: unknown, context: Context): Promise<void>;
  /** @param result of the attempt */
  succeeded(run: RunRef, context: Context, result: unknown): Promise<void>;
}

/**
 * Records why a run stands still: the last failed attempt, and when Temporal retries it. An attempt that is not retried is recorded
 * where its message says more than its code, or where it follows a retry. An attempt that succeeds at once costs nothing. A lost
 * report is only a missing explanation, so nothing here fails an attempt.
 */
export function reportAttempts(log: FailedAttempts): AttemptReports {
  /** Runs of which this process recorded a failure: a local activity continues as a remote one, which counts from 1 again. */
  const reported = new Set<string>();

  return {
    async failed(run, error, context) {
      if (!(error instanceof ApplicationFailure) || !isWorthSaying(error, context)) return;
      const { activityType: step, attempt } = context.info;
      const { type, message, nonRetryable } = error;
      const nextAttemptAt = nonRetryable
        ? null
        : new Date(Date.now() + retryDelayMs(error, context)).toISOString();
      if (reported.size >= runsMax) reported.delete(reported.values().next().value!);
      reported.add(run.runId);
      await bounded(log.record(run, { step, code: type ?? 'Internal', message, attempt, nextAttemptAt }));
    },
    async succeeded(run, { info }) {
      if (info.attempt === 1 && !reported.has(run.runId)) return;
      await bounded(log.clear(run, info.activityType));
    },
  };
}

function isWorthSaying({ nonRetryable, type, message }: ApplicationFailure, { info }: Context): boolean {
  const known = errors[type as keyof typeof errors];
  return !nonRetryable || info.attempt > 1 || message !== known?.message;
}

/** As the server computes it: exponential from the first interval, up to the largest. */
function retryDelayMs({ nextRetryDelay }: ApplicationFailure, { info }: Context): number {
  if (nextRetryDelay != null) return msToNumber(nextRetryDelay);
  const { initialInterval, backoffCoefficient = 2, maximumInterval } = info.retryPolicy ?? {};
  const firstMs = msOptionalToNumber(initialInterval) ?? 1_000;
  const maxMs = msOptionalToNumber(maximumInterval) ?? firstMs * 100;
  return Math.min(firstMs * backoffCoefficient ** (info.attempt - 1), maxMs);
}

async function bounded(report: Promise<void>): Promise<void> {
  const done = new AbortController();
  await Promise.race([
    report.catch(() => {}),
    pause(reportMaxMs, undefined, { signal: done.signal, ref: false }).catch(() => {}),
  ]);
  done.abort();
}
