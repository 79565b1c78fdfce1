import { WaybillError } from '../domain/errors.ts';
import type { RunTotals } from '../domain/ports/ledger.ts';
import type { QualityResult } from '../domain/quality/quality.ts';
import { imbalance } from '../domain/runs/run.ts';
import type { RunFacts, RunOutcome } from '../domain/runs/runFacts.ts';
import { isOfLetters } from '../domain/sources/source.ts';
import type { Dependencies } from './dependencies.ts';
import { completeFiles } from './destination.ts';
import { failsRun, type QualitySummary, qualityAtEnd, qualityBreached, summaryOf } from './quality.ts';
import { audited, objectScopeOf, runOf } from './run.ts';
import { unkeptLettersOf } from './store.ts';
import { knownReason } from './suspension.ts';

/**
 * Records the end of a run, once, with counts from the record rather than from the workflow. A run that claims completion fails as
 * `CountsMismatch` while a batch is missing or its counts do not add up, as `QualityBreached` where it is empty and a rule says that it
 * may not be, and as `AllRejected` where none of its records fitted.
 */
export async function finalizeStep(
  deps: Dependencies,
  end: Pick<RunOutcome, 'state' | 'reason'>,
): Promise<RunOutcome & { quality?: QualitySummary }> {
  const run = await runOf(deps);
  await completeFiles(deps, run);
  if (endOf(end.state) === 'cancelled' && !isOfLetters(run.source)) await keepRejections(deps, run);
  let failure: WaybillError | undefined;
  let completes = endOf(end.state) === 'completed';
  const quality = await qualityAtEnd(deps, run, completes);
  const recorded = await deps.runs.end(run, (totals, failed) => {
    const { counts, stored, batches } = totals;
    // The ledger then has all batches or none, and published rows are visible, whatever arrived too late to prevent it.
    const published = deps.grant().claims.tctx.steps.includes('publish') && stored > 0 && stored >= batches;
    const state = published ? 'completed' : endOf(end.state);
    completes = state === 'completed';
    failure = completes ? failureOf(totals, published ? undefined : quality) : undefined;
    const outcome: RunOutcome = failure
      ? { state: 'failed', counts, reason: { code: failure.code, message: failure.message } }
      : { state, counts, ...(!completes && { reason: knownReason(end.reason, failed) }) };
    const audit = audited(deps, `run.${outcome.state}`, {
      ...counts,
      ...outcome.reason,
      ...(failure?.detail && { wrong: failure.detail }),
    });
    const movesWatermark = run.source.order !== undefined;
    return {
      outcome,
      movesWatermark,
      audit: { ...audit, outcome: outcome.state === 'failed' ? 'failure' : 'success' },
    };
  });
  await deps.objects.remove(objectScopeOf(run), await deps.stages.listObjects(run));
  const { code } = recorded.reason ?? {};
  if (failure) throw failure;
  // An earlier attempt has recorded it.
  if (completes && (code === 'CountsMismatch' || code === 'QualityBreached' || code === 'AllRejected'))
    throw new WaybillError(code);
  return { ...recorded, ...(quality && { quality: summaryOf(quality) }) };
}

/** Why a run that claims completion fails. What was published was assessed before, and its rows stay. */
function failureOf(totals: RunTotals, unpublished: QualityResult | undefined): WaybillError | undefined {
  const wrong = mismatchOf(totals);
  if (wrong) return new WaybillError('CountsMismatch', { detail: wrong });
  if (unpublished && failsRun(unpublished)) return qualityBreached(unpublished);
  return isUseless(totals) ? new WaybillError('AllRejected') : undefined;
}

/**
 * The counts of a cancelled run name records that its stages rejected, so they are dead letters too, though their batches are never
 * stored. Each batch by itself, so that a repeated attempt goes on where this one ended. A failed run can be retried, which rejects
 * them again; before its gate a run has kept them already.
 */
async function keepRejections(deps: Dependencies, run: RunFacts): Promise<void> {
  const { tenant, runId, pipeline, version } = run;
  const of = { tenant, runId, principal: deps.grant().claims.sub, pipeline, version };
  try {
    for (const unkept of await deps.stages.listUnkept(run)) {
      const deadLetters = await unkeptLettersOf(deps, run, unkept);
      await deps.ledger.recordRejections({
        ...of,
        async *batches() {
          yield { seq: unkept.batch.seq, deadLetters };
        },
        audit: audited(deps, 'dead-letter.recorded'),
      });
    }
  } catch (error) {
    if (!(error instanceof WaybillError && error.code === 'RunEnded')) throw error;
  }
}

function mismatchOf({ counts, stored, batches, nothingNew }: RunTotals): string | undefined {
  const complete = nothingNew || (batches > 0 && stored === batches);
  return imbalance(counts) ?? (complete ? undefined : `${stored} of ${batches} batches are stored`);
}

function isUseless({ counts: { read, rejected }, allowAllRejected }: RunTotals): boolean {
  return read > 0 && rejected === read && !allowAllRejected;
}

/** A workflow that a client drives by hand may name a state that is no end. */
function endOf(state: string): RunOutcome['state'] {
  return state === 'completed' || state === 'cancelled' ? state : 'failed';
}
