import { WaybillError } from '../domain/errors.ts';
import { imbalance } from '../domain/runs/run.ts';
import type { RunOutcome } from '../domain/runs/runFacts.ts';
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
  const mismatch = new WaybillError('CountsMismatch');
  let wrong: string | undefined;
  let completes = endOf(end.state) === 'completed';
  const recorded = await deps.runs.end(run, ({ counts, stored, batches, nothingNew }) => {
    // All of it or nothing is in the ledger then, and readers of the table see it, whatever came too late to prevent it.
    const published = deps.grant().claims.tctx.steps.includes('publish') && batches > 0 && stored === batches;
    const state = published ? 'completed' : endOf(end.state);
    completes = state === 'completed';
    wrong = !completes
      ? undefined
      : (imbalance(counts) ??
        (nothingNew || (batches > 0 && stored === batches)
          ? undefined
          : `${stored} of ${batches} batches are stored`));
    const outcome: RunOutcome = wrong
      ? { state: 'failed', counts, reason: { code: mismatch.code, message: mismatch.message } }
      : { state, counts, ...(!completes && { reason: knownReason(end.reason) }) };
    const audit = audited(deps, `run.${outcome.state}`, {
      ...counts,
      ...outcome.reason,
      ...(wrong && { wrong }),
    });
    return { outcome, audit: { ...audit, outcome: outcome.state === 'failed' ? 'failure' : 'success' } };
  });
  await deps.objects.remove(scopeOf(run), await deps.stages.listObjects(run));
  if (recorded.reason?.code === mismatch.code && completes)
    throw new WaybillError('CountsMismatch', wrong ? { detail: wrong } : {});
  return recorded;
}

/** What a workflow that somebody drives by hand calls an end need not be one. */
function endOf(state: string): RunOutcome['state'] {
  return state === 'completed' || state === 'cancelled' ? state : 'failed';
}
