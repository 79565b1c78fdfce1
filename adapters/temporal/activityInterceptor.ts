import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from '@temporalio/activity';
import type { Headers } from '@temporalio/common';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { AuditEvent } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { rejectsAttempt } from '../../domain/grants/attemptRejection.ts';
import type { VerifiedGrant } from '../../domain/grants/grant.ts';
import { actorOf, type GrantClaims, type WorkflowGrantClaims } from '../../domain/grants/grant.ts';
import { type AttemptInfo, asksNoPolicy, failedCheck } from '../../domain/grants/grantChecks.ts';
import type { AuditLog } from '../../domain/ports/audit.ts';
import type { Authorizer, StepDecision } from '../../domain/ports/authorizer.ts';
import type { GrantVerifier } from '../../domain/ports/grants.ts';
import type { RunRef } from '../../domain/runs/run.ts';
import { activityFailureOf } from './activityFailure.ts';
import { faultOf, grantOf, resetOf } from './grantHeader.ts';
import type { AttemptReports } from './reportAttempts.ts';

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

/** The claims of a step of `runPipeline`, and the key that signed them. Its verifier accepts no other claims. */
export function currentGrant(): VerifiedGrant {
  return currentAttempt().grant as VerifiedGrant;
}

/** The signed grant itself, for the exchange of step tokens. */
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
  authorizer: Authorizer<Claims>;
  audit: AuditLog;
  /** Learns of failed attempts once the grant is verified, and of attempts that succeed. Default: nothing does. */
  reports?: AttemptReports;
  /** Milliseconds since 1970. Default: the clock of this machine. */
  now?(): number;
}

/**
 * Before any effect of an attempt: verify the grant, hold it against what Temporal says of the attempt and against
 * what holds today, then work. Refusals are audited, also those that only the work itself can find. What else the
 * activity throws passes as it is.
 */
export function grantActivityInterceptor<Claims extends AnyClaims>(
  context: Context,
  guard: Guard<Claims>,
): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        const { reports } = guard;
        let run: RunRef | undefined;
        try {
          const attempt = await begin(context, input.headers, guard, ({ tctx: { tenant, workflowId } }) => {
            // A grant of another workflow must not write into the record of that one.
            if (workflowId === context.info.workflowExecution?.workflowId)
              run = { tenant, runId: workflowId };
          }).catch((error: unknown) => {
            throw error instanceof WaybillError ? error : new WaybillError('Internal', { cause: error });
          });
          const result = await attempt.audited(() => attempts.run(attempt, () => next(input)));
          if (run) await reports?.succeeded(run, context, result);
          return result;
        } catch (error) {
          const failure = error instanceof WaybillError ? activityFailureOf(error, context) : error;
          if (run) await reports?.failed(run, failure, context);
          throw failure;
        }
      },
    },
  };
}

async function begin<Claims extends AnyClaims>(
  context: Context,
  headers: Headers,
  guard: Guard<Claims>,
  onVerified: (claims: Claims) => void,
): Promise<Attempt & { audited: Audited }> {
  const at = attemptInfoOf(context, faultOf(headers));
  const signed = grantOf(headers) ?? '';
  const grant = await auditing(guard, at)(() => identify(signed, guard));
  onVerified(grant.claims);
  const audited = auditing(guard, at, grant);
  const ask = () => audited(() => admit(grant, at, guard));
  const attempt: Attempt & { audited: Audited } = {
    grant,
    signed,
    decision: await ask(),
    async recheck() {
      attempt.decision = await ask();
    },
    audited,
  };
  await auditReset(context, resetOf(headers), grant.claims, guard);
  return attempt;
}

/** Executions of which it was recorded that a reset has made them, so that the log is not asked before each step. */
const resets = new Set<string>();
const resetsMax = 1_000;

/** A reset goes on under the grant that the workflow has; Temporal does not say who has asked for it. */
async function auditReset<Claims extends AnyClaims>(
  { info }: Context,
  original: string | undefined,
  { tctx, txn, jti }: Claims,
  { audit }: Guard<Claims>,
): Promise<void> {
  const { workflowId, runId: execution } = info.workflowExecution!;
  if (original === undefined || resets.has(execution)) return;
  const event: AuditEvent = {
    action: 'workflow.reset',
    outcome: 'success',
    tenant: tctx.tenant,
    actor: null,
    runId: workflowId,
    txn,
    detail: { grant: jti, execution, original },
  };
  await audit.append(event, 'once');
  if (resets.size >= resetsMax) resets.delete(resets.values().next().value!);
  resets.add(execution);
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
  { authorizer, now = Date.now }: Guard<Claims>,
): Promise<StepDecision | undefined> {
  const failed = await failedCheck({ grant, attempt, nowS: Math.floor(now() / 1000), authorizer });
  if (failed) throw new WaybillError(failed.code, { detail: `the check of ${failed.name} failed` });
  return asksNoPolicy(attempt) ? undefined : authorizer.decide(grant.claims, attempt.activityType);
}

type Audited = <T>(work: () => T | Promise<T>) => Promise<T>;

/** A rejected attempt is audited once, before the failure is reported. One that is retried (`unavailable`) is not audited. */
function auditing<Claims extends AnyClaims>(
  { audit, authorizer }: Guard<Claims>,
  attempt: AttemptInfo,
  grant?: VerifiedGrant<Claims>,
): Audited {
  const told = new Set<unknown>();
  return async (work) => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof WaybillError) || !rejectsAttempt(error.code) || told.has(error)) throw error;
      await audit.append(refusalOf(error, attempt, grant?.claims, authorizer));
      told.add(error);
      throw error;
    }
  };
}

function refusalOf<Claims extends AnyClaims>(
  { code, detail }: WaybillError,
  attempt: AttemptInfo,
  claims: Claims | undefined,
  authorizer: Authorizer<Claims>,
): AuditEvent {
  const decision = code === 'PolicyDenied' && claims && authorizer.decide(claims, attempt.activityType);
  return {
    action: 'attempt.denied',
    outcome: 'denied',
    // Nothing that an unverified grant says is taken for true.
    tenant: claims?.tctx.tenant ?? null,
    // A workflow that starts again after its run has ended was not started by the principal of its grant.
    actor: claims && code !== 'RunEnded' ? actorOf(claims) : null,
    runId: attempt.workflowId || null,
    txn: claims?.txn ?? null,
    detail: {
      ...attempt,
      code,
      reason: detail ?? null,
      ...(claims && { grant: claims.jti }),
      ...(decision && { policies: decision.policies, policyDigest: decision.digest }),
    },
  };
}
