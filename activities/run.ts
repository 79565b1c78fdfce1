import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { AuditEvent } from '../domain/audit.ts';
import { WaybillError } from '../domain/errors.ts';
import { actorOf } from '../domain/grants/grant.ts';
import { differenceFrom } from '../domain/grants/grantedRun.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { ObjectScope } from '../domain/ports/objects.ts';
import type { Work } from '../domain/ports/stages.ts';
import type { StageOutput } from '../domain/runs/batch.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';

/**
 * The run that the verified grant names, never one that an argument names. The record must agree with the grant
 * on principal, definition and input; a difference means that one of the two was tampered with.
 */
export async function runOf(deps: Dependencies): Promise<RunFacts> {
  const { claims } = deps.grant();
  const { tenant, workflowId: runId } = claims.tctx;
  const run = await deps.runs.find({ tenant, runId }).catch((error: unknown) => {
    const unknown = error instanceof WaybillError && error.code === 'RunNotFound';
    throw unknown ? new WaybillError('GrantMismatch', { detail: `its tenant has no run ${runId}` }) : error;
  });
  const differs = differenceFrom(claims, run, digestOf);
  if (differs)
    throw new WaybillError('GrantMismatch', { detail: `${differs} of ${runId} differs from its grant` });
  return run;
}

/**
 * The record of a batch and its stages. An authorized step works, so it also ends a recorded suspension: after
 * a reset, or a restart of the run, no other step does.
 */
export async function workOf(deps: Dependencies, run: RunFacts, seq: number): Promise<Work> {
  const known = works.get(Context.current());
  if (known?.batch.seq === seq) return known;
  const work = await deps.stages.findWork(run, executionOf(), seq);
  if (work.suspended) await deps.runs.resume(run, audited(deps, 'run.resumed'));
  works.set(Context.current(), work);
  return work;
}

/** Whether the step is taken ahead, in the activity of `ingest`: where it is to be retried, so are all that were taken with it. */
export function isAhead(): boolean {
  return Context.current().info.activityType === 'ingest';
}

/** What the steps of one activity know of their batch: a small run takes several in one, one right after the other. */
const works = new WeakMap<Context, Work>();

const recordedAs = { validate: 'validated', enrich: 'enriched', transform: 'transformed' } as const;

/** What a stage has recorded, for the steps after it. */
export function noteStage(stage: StageOutput): void {
  const known = works.get(Context.current());
  if (known?.batch.seq !== stage.seq) return;
  works.set(Context.current(), { ...known, [recordedAs[stage.stage]]: stage });
}

/** Temporal’s id of the current execution; a run has several if it continued as new or was reset. */
export function executionOf(): string {
  return Context.current().info.workflowExecution!.runId;
}

/** Lower-case hex SHA-256, as in grants. */
export function digestOf(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Exactly the accepted definition. Throws `DefinitionUnavailable`; another worker may have it. */
export function requireDefinition(deps: Dependencies): LoadedPipeline {
  const { pipeline, definitionDigest } = deps.grant().claims.tctx;
  return deps.definitions.require(pipeline, definitionDigest);
}

/** The same, or `undefined` if this worker has another one or none. */
export function deployedOf(deps: Dependencies): LoadedPipeline | undefined {
  const { pipeline, definitionDigest } = deps.grant().claims.tctx;
  return deps.definitions.find(pipeline, definitionDigest);
}

export function objectScopeOf(run: RunFacts): ObjectScope {
  return { tenant: run.tenant, runId: run.runId };
}

/** An audit event of the current step; the actor is the principal of its grant. */
export function audited(deps: Dependencies, action: string, detail: AuditEvent['detail'] = {}): AuditEvent {
  const grant = deps.grant().claims;
  const decision = deps.decision();
  return {
    action,
    outcome: 'success',
    tenant: grant.tctx.tenant,
    actor: actorOf(grant),
    runId: grant.tctx.workflowId,
    txn: grant.txn,
    detail: {
      grant: grant.jti,
      ...(decision && { policies: decision.policies, policyDigest: decision.digest }),
      ...detail,
    },
  };
}
