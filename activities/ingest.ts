import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { StepCall } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { describeSource } from '../domain/sources/sourceDescription.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, digestOf, executionOf } from './run.ts';

const waitMs = 30_000;

/**
 * Returns how many batches have been received; waits up to 30 s for more than `after`. The first call of a run
 * marks it as running. A broken upload ends the run as `UploadIncomplete`.
 */
export async function ingestStep(
  deps: Dependencies,
  { after, ahead }: { after: number; ahead?: readonly StepCall[] },
) {
  const run = await approvedRun(deps);
  const cancelled = Context.current().cancellationSignal;
  if (after === 0) {
    const isFollowed = ahead?.some(([step]) => step === 'finalize') ?? false;
    await deps.runs.begin(run, executionOf(), audited(deps, 'run.started'), isFollowed);
  }
  const until = AbortSignal.any([cancelled, deps.draining]);
  const { received, inputComplete, broken, digests } = await deps.batches.arrivals(
    run,
    executionOf(),
    after,
    waitMs,
    until,
  );
  cancelled.throwIfAborted();
  if (broken) throw new WaybillError('UploadIncomplete');
  if (inputComplete && !isGranted(deps, run, digests))
    throw new WaybillError('GrantMismatch', { detail: `source of ${run.runId} differs from its grant` });
  return { received, inputComplete };
}

/** Input that was complete at acceptance must match the grant, whatever the table says by now. */
function isGranted(deps: Dependencies, run: RunFacts, digests: readonly string[]): boolean {
  const { sourceDigest } = deps.grant().claims.tctx;
  return [describeSource(run), describeSource(run, digests)].some((text) => digestOf(text) === sourceDigest);
}
