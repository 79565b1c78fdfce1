import { AsyncLocalStorage } from 'node:async_hooks';
import { ApplicationFailure, CancelledFailure, type Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { AuditLog } from '../../domain/audit.ts';
import { type ErrorCode, WaybillError } from '../../domain/errors.ts';
import { actorOf, type GrantClaims, type WorkflowGrantClaims } from '../../domain/grant.ts';
import { type AttemptInfo, failedCheck } from '../../domain/grantChecks.ts';
import type { Authority } from '../../domain/ports/authority.ts';
import type { GrantVerifier, VerifiedGrant } from '../../domain/ports/grants.ts';
import { grantOf } from './grantHeader.ts';

const heartbeatMs = 1_000;

/**
 * What is likely to stay as it is ends the run after about this many attempts, 30 s apart in the end: some ten minutes.
 * A definition that no worker has suspends it, after a minute in which a deployment may bring it.
 */
const attemptsMax: Partial<Record<ErrorCode, number>> = {
  DefinitionUnavailable: 8,
  SourceUnavailable: 25,
  BatchMissing: 25,
  Internal: 25,
};

type AnyClaims = WorkflowGrantClaims | GrantClaims;

interface Attempt {
  grant: VerifiedGrant<AnyClaims>;
  context: Context;
  /** Asks everything again that may have changed since the attempt began. */
  recheck(): Promise<void>;
  /** Sent with each heartbeat; the attempt after this one finds it. */
  details: unknown;
}

const attempts = new AsyncLocalStorage<Attempt>();

/** The verified claims of the attempt that asks. Outside of an attempt there are none, which is `GrantMissing`. */
export function currentClaims(): AnyClaims {
  return currentAttempt().grant.claims;
}

/** The same, of a step of `runPipeline`, whose verifier lets no other claims pass; with the key that signed them. */
export function currentGrant(): VerifiedGrant {
  return currentAttempt().grant as VerifiedGrant;
}

/** For a step that works for long: whether it still may. Throws what refused attempts throw; a refusal is audited. */
export function recheckGrant(): Promise<void> {
  return currentAttempt().recheck();
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

export interface Guard<Claims extends AnyClaims> {
  verifier: GrantVerifier<Claims>;
  authority: Authority<Claims>;
  audit: AuditLog;
  now(): number;
}

/**
 * Before any effect of an attempt: verify the grant, hold it against what Temporal says of the attempt and against
 * what holds today, then work. Refusals are audited. While the step works, the attempt is heartbeat each second; records
 * are worked on in other threads, so that a busy step does not look like a dead one.
 */
export function grantActivityInterceptor<Claims extends AnyClaims>(
  context: Context,
  guard: Guard<Claims>,
): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        try {
          const at = attemptInfoOf(context);
          const grant = await audited(guard, at, undefined, () => identify(grantOf(input.headers), guard));
          const recheck = () => audited(guard, at, grant, () => admit(grant, at, guard));
          await recheck();
          const attempt: Attempt = { grant, context, recheck, details: context.info.heartbeatDetails };
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

function attemptInfoOf({ info }: Context): AttemptInfo {
  return {
    namespace: info.namespace,
    // Whoever starts a workflow by hand chooses its id; PostgreSQL could not record this character of it.
    workflowId: info.workflowExecution!.workflowId.replaceAll('\0', '\ufffd'),
    workflowType: info.workflowType!,
    activityType: info.activityType,
  };
}

async function identify<Claims extends AnyClaims>(
  grant: string | undefined,
  { verifier }: Guard<Claims>,
): Promise<VerifiedGrant<Claims>> {
  if (!grant) throw new WaybillError('GrantMissing');
  return verifier.verify(grant);
}

async function admit<Claims extends AnyClaims>(
  grant: VerifiedGrant<Claims>,
  attempt: AttemptInfo,
  { authority, now }: Guard<Claims>,
): Promise<void> {
  const failed = failedCheck({ grant, attempt, nowS: Math.floor(now() / 1000), authority });
  if (failed) throw new WaybillError(failed.code, { detail: `the check of ${failed.name} failed` });
}

/** A refusal that stands is recorded before anybody hears of it; one that is only undecidable leaves no trace. */
async function audited<Claims extends AnyClaims, T>(
  { audit, authority }: Guard<Claims>,
  attempt: AttemptInfo,
  grant: VerifiedGrant<Claims> | undefined,
  check: () => Promise<T>,
): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof WaybillError) || error.retryable) throw error;
    const claims = grant?.claims;
    const decision =
      error.code === 'PolicyDenied' && claims && authority.decide(claims, attempt.activityType);
    await audit.append({
      action: 'attempt.refused',
      outcome: 'denied',
      // Nothing that an unverified grant says is taken for true.
      tenant: claims?.tctx.tenant ?? null,
      actor: claims ? actorOf(claims) : null,
      runId: attempt.workflowId,
      txn: claims?.txn ?? null,
      detail: {
        ...attempt,
        code: error.code,
        reason: error.detail ?? null,
        ...(claims && { grant: claims.jti }),
        ...(decision && { policies: decision.policies, policyDigest: decision.digest }),
      },
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
