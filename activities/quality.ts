import { WaybillError } from '../domain/errors.ts';
import { assessQuality } from '../domain/quality/assessQuality.ts';
import {
  breachedRules,
  breachesOf,
  type QualityManifest,
  type QualityResult,
} from '../domain/quality/quality.ts';
import { beginningOf } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { isOfLetters } from '../domain/sources/source.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, deployedOf, requireDefinition } from './run.ts';
import { keepRejections } from './store.ts';

/** What the end of a run says of its quality. */
export interface QualitySummary {
  state: QualityResult['state'];
  /** The names of the breached rules. */
  breached: string[];
}

/**
 * The result of the run’s quality rules, before any of its rows is visible. It is assessed once and recorded, so that each attempt of
 * each step finds the same; `undefined` for a pipeline without rules. Throws `QualityBreached` where a breach fails the run: its
 * rejected records are kept, and nothing else.
 */
export async function requireQuality(deps: Dependencies, run: RunFacts): Promise<QualityResult | undefined> {
  const result = await assessRun(deps, run);
  if (!result || !failsRun(result)) return result;
  if (!isOfLetters(run.source)) await keepRejections(deps, run, await deps.stages.listStaged(run));
  throw qualityBreached(result);
}

/** For the end of a run: assesses what completes, and finds the result of what does not. */
export async function qualityAtEnd(
  deps: Dependencies,
  run: RunFacts,
  completes: boolean,
): Promise<QualityResult | undefined> {
  // Without its definition here the run ends all the same.
  if (!deployedOf(deps)?.manifest.quality) return undefined;
  return completes ? assessRun(deps, run) : deps.quality.find(run);
}

async function assessRun(deps: Dependencies, run: RunFacts): Promise<QualityResult | undefined> {
  const { manifest, quality: code } = requireDefinition(deps);
  if (!manifest.quality) return undefined;
  const recorded = await deps.quality.find(run);
  if (recorded) return recorded;
  const result = assessQuality(manifest.quality, code, {
    ...(await deps.quality.measure(run, needOf(manifest.quality))),
    isRedrive: isOfLetters(run.source),
    acceptedMs: beginningOf(run.runId) ?? 0,
  });
  const { onBreach } = result;
  const audit = audited(deps, 'quality.assessed', { onBreach, ...summaryOf(result) });
  return deps.quality.record(run, result, audit);
}

function needOf({ rules }: QualityManifest) {
  const compared = rules.map((rule) => (rule.kind === 'rows' && rule.change !== undefined ? rule.runs : 0));
  return { earlierRuns: Math.max(0, ...compared), countsKeys: rules.some(({ kind }) => kind === 'unique') };
}

export function failsRun({ onBreach, state }: QualityResult): boolean {
  return onBreach === 'fail' && state === 'breached';
}

/** Says which rules, without values. */
export function qualityBreached(result: QualityResult): WaybillError {
  const publicDetail = breachesOf(result)
    .map(({ rule, found }) => `${rule}: ${found}.`)
    .join(' ');
  return new WaybillError('QualityBreached', { publicDetail });
}

export function summaryOf(result: QualityResult): QualitySummary {
  return { state: result.state, breached: breachedRules(result) };
}
