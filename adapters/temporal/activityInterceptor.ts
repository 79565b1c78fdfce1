import { AsyncLocalStorage } from 'node:async_hooks';
import { ApplicationFailure, CancelledFailure, type Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { AuditLog } from '../../domain/audit.ts';
import { type ErrorCode, WaybillError } from '../../domain/errors.ts';
import { actorOf, type GrantClaims } from '../../domain/grant.ts';
import { failedCheck } from '../../domain/grantChecks.ts';
import type { GrantVerifier } from '../../domain/ports/grants.ts';
import { grantOf } from './grantHeader.ts';

const heartbeatMs = 1_000;

/** What is likely to stay as it is ends the run after about this many attempts, 30 s apart in the end: some ten minutes. */
const attemptsMax: Partial<Record<ErrorCode, number>> = {
  SourceUnavailable: 25,
  BatchMissing: 25,
  Internal: 25,
};

interface Attempt {
  claims: GrantClaims;
  context: Context;
  /** Sent with each heartbeat; the attempt after this one finds it. */
  details: unknown;
}

const attempts = new AsyncLocalStorage<Attempt>();

/** The verified grant of the attempt that asks. Outside of an attempt there is none, which is `GrantMissing`. */
export function currentGrant(): GrantClaims {
  return currentAttempt().claims;
}

/** Details that travel with the heartbeats of an attempt to the one after it. */
export const attemptDetails = {
  remember(details: unknown): void {
    const attempt = currentAttempt();
    attempt.details = details;
    attempt.context.heartbeat(details);
  },
  recall: (): unknown => currentAttempt().context.info.heartbeatDetails,
};

function currentAttempt(): Attempt {
  const attempt = attempts.getStore();
  if (!attempt)
    throw new WaybillError('GrantMissing', { detail: 'asked for a grant outside of an activity' });
  return attempt;
}

/**
 * Before any effect of an attempt: verify the grant, hold it against what Temporal says of the attempt, then work.
 * Refusals are audited. While the step works, the attempt is heartbeat each second; records are worked on in other
 * threads, so that a busy step does not look like a dead one.
 */
export function grantActivityInterceptor(
  context: Context,
  deps: { verifier: GrantVerifier; audit: AuditLog; now: () => number },
): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        try {
          const claims = await admit(grantOf(input.headers), context, deps);
          const attempt: Attempt = { claims, context, details: context.info.heartbeatDetails };
          const beat = setInterval(() => context.heartbeat(attempt.details), heartbeatMs);
          try {
            return await attempts.run(attempt, () => next(input));
          } finally {
            clearInterval(beat);
          }
        } catch (error) {
          throw toActivityFailure(error, context);
        }
      },
    },
  };
}

async function admit(
  grant: string | undefined,
  context: Context,
  { verifier, audit, now }: { verifier: GrantVerifier; audit: AuditLog; now: () => number },
): Promise<GrantClaims> {
  const { info } = context;
  const attempt = {
    namespace: info.namespace,
    // Whoever starts a workflow by hand chooses its id; PostgreSQL could not record this character of it.
    workflowId: info.workflowExecution!.workflowId.replaceAll('\0', '\ufffd'),
    workflowType: info.workflowType!,
    activityType: info.activityType,
  };
  let claims: GrantClaims | undefined;
  try {
    if (!grant) throw new WaybillError('GrantMissing');
    claims = await verifier.verify(grant);
    const failed = failedCheck(claims, attempt, Math.floor(now() / 1000));
    if (failed) throw new WaybillError(failed.code, { detail: `${failed.name} of the grant does not match` });
    return claims;
  } catch (error) {
    if (!(error instanceof WaybillError) || error.retryable) throw error;
    await audit.append({
      action: 'attempt.refused',
      outcome: 'denied',
      // Nothing that an unverified grant says is taken for true.
      tenant: claims?.tctx.tenant ?? null,
      actor: claims ? actorOf(claims) : null,
      runId: attempt.workflowId,
      txn: claims?.txn ?? null,
      detail: { ...attempt, code: error.code, reason: error.detail ?? null },
    });
    throw error;
  }
}

/** The one place where our errors become Temporal’s: `type` is the code, retries follow the table of errors. */
function toActivityFailure(error: unknown, context: Context): unknown {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (context.cancellationSignal.aborted)
    return new CancelledFailure('The step was cancelled.', [], error as Error);
  const known = error instanceof WaybillError ? error : new WaybillError('Internal', { cause: error });
  // Public message only: failures are plaintext in history. The detail goes to the worker’s log.
  context.log.warn('attempt failed', {
    code: known.code,
    detail: known.detail,
    cause: String(known.cause ?? ''),
  });
  const exhausted = context.info.attempt >= (attemptsMax[known.code] ?? Number.POSITIVE_INFINITY);
  return ApplicationFailure.create({
    type: known.code,
    message: known.message,
    nonRetryable: !known.retryable || exhausted,
  });
}
