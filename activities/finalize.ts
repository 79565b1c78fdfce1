import { WaybillError } from '../domain/errors.ts';
import { imbalance } from '../domain/runs/run.ts';
import type { RunOutcome } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, runOf, scopeOf } from './run.ts';
import { knownReason } from './suspension.ts';

/**
 * Records the end of a run, once, with counts from the record rather than from the workflow.
 * A run that claims completion while a batch is missing or its counts do not add up fails as `CountsMismatch`.
 */
export async function finalizeStep(
  deps: Dependencies,
  end: Pick<RunOutcome, 'state' | 'reason'>,
): Promise<RunOutcome> {
  const run = await runOf(deps);
  const mismatch = new WaybillError('CountsMismatch');
  let wrong: string | undefined;
  let completes = endOf(end.state) === 'completed';
  const recorded = await deps.runs.end(run, ({ counts, stored, batches, nothingNew }, failed) => {
    // The ledger then has all batches or none, and published rows are visible, whatever arrived too late to prevent it.
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
      : { state, counts, ...(!completes && { reason: knownReason(end.reason, failed) }) };
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

/** A workflow that a client drives by hand may name a state that is no end. */
function endOf(state: string): RunOutcome['state'] {
  return state === 'completed' || state === 'cancelled' ? state : 'failed';
}
