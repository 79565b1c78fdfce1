import { WaybillError } from '../domain/errors.ts';
import type { RunOutcome } from '../domain/ports/progress.ts';
import { imbalance } from '../domain/runs/run.ts';
import type { Dependencies } from './index.ts';
import { knownReason } from './reason.ts';
import { audited, runOf, scopeOf } from './run.ts';

/**
 * Records how a run ended, once, with counts summed from what is on record rather than from what the workflow believes.
 * A run that claims to be complete while a batch is missing or its counts do not add up fails as `CountsMismatch`.
 */
export async function finalizeStep(
  deps: Dependencies,
  end: Pick<RunOutcome, 'state' | 'reason'>,
): Promise<RunOutcome> {
  const run = await runOf(deps);
  const { counts, stored, batches, nothingNew } = await deps.progress.totals(run);
  // All of it or nothing is in the ledger then, and what is there people can see, whatever came too late to prevent it.
  const published = deps.grant().claims.tctx.steps.includes('publish') && batches > 0 && stored === batches;
  const state = published ? 'completed' : endOf(end.state);
  const wrong =
    imbalance(counts) ??
    (nothingNew || (batches > 0 && stored === batches)
      ? undefined
      : `${stored} of ${batches} batches are stored`);
  const failed = state === 'completed' && wrong !== undefined;
  const mismatch = new WaybillError('CountsMismatch');
  const outcome: RunOutcome = failed
    ? { state: 'failed', counts, reason: { code: mismatch.code, message: mismatch.message } }
    : { state, counts, ...(state !== 'completed' && { reason: knownReason(end.reason) }) };
  const recorded = await deps.progress.end(run, outcome, {
    ...audited(deps, `run.${outcome.state}`, { ...counts, ...outcome.reason, ...(failed && { wrong }) }),
    outcome: outcome.state === 'failed' ? 'failure' : 'success',
  });
  await deps.objects.remove(scopeOf(run), await deps.progress.stageObjects(run));
  if (recorded.reason?.code === mismatch.code && state === 'completed')
    throw new WaybillError('CountsMismatch', { detail: wrong });
  return recorded;
}

/** What a workflow that somebody drives by hand calls an end need not be one. */
function endOf(state: string): RunOutcome['state'] {
  return state === 'completed' || state === 'cancelled' ? state : 'failed';
}
