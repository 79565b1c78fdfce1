import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from '@temporalio/activity';
import type { Headers } from '@temporalio/common';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { AuditLog } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { actorOf, type GrantClaims, type WorkflowGrantClaims } from '../../domain/grant.ts';
import { type AttemptInfo, asksNoPolicy, failedCheck } from '../../domain/grantChecks.ts';
import type { Authority, StepDecision } from '../../domain/ports/authority.ts';
import type { GrantVerifier, VerifiedGrant } from '../../domain/ports/grants.ts';
import { activityFailureOf } from './activityFailure.ts';
import { faultOf, grantOf } from './grantHeader.ts';

type AnyClaims = WorkflowGrantClaims | GrantClaims;

interface Attempt {
  grant: VerifiedGrant<AnyClaims>;
  /** The grant as it came. */
  signed: string;
  /** What today’s policy said when it was last asked; of housekeeping it is not asked. */
  decision: StepDecision | undefined;
  /** Asks everything again that may have changed since the attempt began. */
  recheck(): Promise<void>;
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

/** The signed grant itself, for whoever asks for more on the strength of it. */
export function currentSignedGrant(): string {
  return currentAttempt().signed;
}

/** Which policies of which set let the attempt work, for the audit. */
export function currentDecision(): StepDecision | undefined {
  return currentAttempt().decision;
}

/** For a step that works for long: whether it still may. Throws what refused attempts throw; a refusal is audited. */
export function recheckGrant(): Promise<void> {
  return currentAttempt().recheck();
}

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
  /** Milliseconds since 1970. Default: the clock of this machine. */
  now?(): number;
}

/**
 * Before any effect of an attempt: verify the grant, hold it against what Temporal says of the attempt and against
 * what holds today, then work. Refusals are audited. What the activity itself throws passes as it is.
 */
export function grantActivityInterceptor<Claims extends AnyClaims>(
  context: Context,
  guard: Guard<Claims>,
): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        const attempt = await begin(context, input.headers, guard).catch((error: unknown) => {
          const known =
            error instanceof WaybillError ? error : new WaybillError('Internal', { cause: error });
          throw activityFailureOf(known, context);
        });
        try {
          return await attempts.run(attempt, () => next(input));
        } catch (error) {
          throw error instanceof WaybillError ? activityFailureOf(error, context) : error;
        }
      },
    },
  };
}

async function begin<Claims extends AnyClaims>(
  context: Context,
  headers: Headers,
  guard: Guard<Claims>,
): Promise<Attempt> {
  const at = attemptInfoOf(context, faultOf(headers));
  const signed = grantOf(headers) ?? '';
  const grant = await audited(guard, at, undefined, () => identify(signed, guard));
  const ask = () => audited(guard, at, grant, () => admit(grant, at, guard));
  const attempt: Attempt = {
    grant,
    signed,
    decision: await ask(),
    async recheck() {
      attempt.decision = await ask();
    },
  };
  return attempt;
}

/** An activity that was started by itself belongs to no workflow, and so to none that was granted. */
function attemptInfoOf({ info }: Context, fault: string | undefined): AttemptInfo {
  return {
    namespace: info.namespace,
    workflowId: info.workflowExecution?.workflowId ?? '',
    workflowType: info.workflowType ?? '',
    activityType: info.activityType,
    ...(fault && { fault }),
  };
}

async function identify<Claims extends AnyClaims>(
  grant: string,
  { verifier }: Guard<Claims>,
): Promise<VerifiedGrant<Claims>> {
  if (!grant) throw new WaybillError('GrantMissing');
  return verifier.verify(grant);
}

async function admit<Claims extends AnyClaims>(
  grant: VerifiedGrant<Claims>,
  attempt: AttemptInfo,
  { authority, now = Date.now }: Guard<Claims>,
): Promise<StepDecision | undefined> {
  const failed = failedCheck({ grant, attempt, nowS: Math.floor(now() / 1000), authority });
  if (failed) throw new WaybillError(failed.code, { detail: `the check of ${failed.name} failed` });
  return asksNoPolicy(attempt) ? undefined : authority.decide(grant.claims, attempt.activityType);
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
      runId: recordable(attempt.workflowId) || null,
      txn: claims?.txn ?? null,
      detail: {
        ...attempt,
        workflowId: recordable(attempt.workflowId),
        code: error.code,
        reason: error.detail ?? null,
        ...(claims && { grant: claims.jti }),
        ...(decision && { policies: decision.policies, policyDigest: decision.digest }),
      },
    });
    throw error;
  }
}

/** Whoever starts a workflow by hand chooses its id, and PostgreSQL keeps no text with this character. */
function recordable(text: string): string {
  return text.replaceAll('\0', '\ufffd');
}
