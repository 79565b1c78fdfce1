import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { describeSource } from '../domain/sources/sourceDescription.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './index.ts';
import { audited, digestOf, executionOf } from './run.ts';

const waitMs = 30_000;

/**
 * Hands over the batches that have arrived beyond `after`; waits up to 30 s for more. The first call of a run
 * marks it as running. An upload that broke off ends the run as `UploadIncomplete`.
 */
export async function ingestStep(deps: Dependencies, { after }: { after: number }) {
  const run = await approvedRun(deps);
  const cancelled = Context.current().cancellationSignal;
  if (after === 0) await deps.runs.begin(run, executionOf(), audited(deps, 'run.started'));
  const until = AbortSignal.any([cancelled, deps.draining]);
  const { known, sealed, broken } = await deps.batches.arrivals(run, executionOf(), after, waitMs, until);
  cancelled.throwIfAborted();
  if (broken) throw new WaybillError('UploadIncomplete');
  if (sealed && !(await isGranted(deps, run)))
    throw new WaybillError('GrantMismatch', { detail: `source of ${run.runId} differs from its grant` });
  return { known, sealed };
}

/** What was all there at acceptance is what the grant says, and not what somebody wrote into the table since. */
async function isGranted(deps: Dependencies, run: RunFacts): Promise<boolean> {
  const { sourceDigest } = deps.grant().claims.tctx;
  if (digestOf(describeSource(run)) === sourceDigest) return true;
  return digestOf(describeSource(run, await deps.batches.listDigests(run))) === sourceDigest;
}
