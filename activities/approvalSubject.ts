import type { ApprovalSubject } from '../domain/approvals/approval.ts';
import type { PublishSummary } from '../domain/approvals/approvalTerms.ts';
import type { Preview } from '../domain/ports/ledger.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import { breachedRules, type QualityResult } from '../domain/quality/quality.ts';
import { addCounts, zeroCounts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { requireDefinition } from './run.ts';
import { readRejections } from './stage.ts';

/** The subject of an approval before `ingest`: definition, source and parameters as the grant has them. */
export function subjectBeforeIngest(deps: Dependencies, run: RunFacts): ApprovalSubject {
  const { definitionDigest, sourceDigest, parametersDigest } = deps.grant().claims.tctx;
  return {
    gate: 'ingest',
    run: run.runId,
    pipeline: run.pipeline,
    version: run.version,
    definitionDigest,
    sourceDigest,
    parametersDigest,
    stages: [],
    baseVersion: 0,
    counts: zeroCounts,
    changes: null,
    rejectedByCode: {},
  };
}

/**
 * The subject of an approval before `publish`, without the sink’s part: the sink computes that in the transaction that would
 * publish the rows.
 */
export async function subjectBeforePublish(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
  quality?: QualityResult,
): Promise<(found: Preview) => ApprovalSubject> {
  const rejectedByCode: Record<string, number> = {};
  let counts = zeroCounts;
  for (const { validated, transformed } of staged) {
    for (const stage of [validated, transformed]) {
      counts = addCounts(counts, stage.counts);
      for (const { code } of await readRejections(deps, run, stage))
        rejectedByCode[code] = (Object.hasOwn(rejectedByCode, code) ? rejectedByCode[code]! : 0) + 1;
    }
  }
  const stages = staged.map(({ transformed }) => transformed.digest);
  return ({ changes, changesByOutput, baseVersion }) => ({
    ...subjectBeforeIngest(deps, run),
    gate: 'publish',
    stages,
    counts,
    rejectedByCode,
    changes,
    ...(changesByOutput && { changesByOutput }),
    baseVersion,
    ...(quality && { quality }),
  });
}

/**
 * Whether the run needs approval: always for an agent and where a quality rule is breached that holds runs; otherwise unless the definition’s `when` returns exactly `false`. A `when` that
 * throws or returns something else requires approval.
 */
export function needsApproval(deps: Dependencies, run: RunFacts, shown: ApprovalSubject): boolean {
  const { req, act } = deps.grant().claims;
  if (req.kind === 'agent' || act?.kind === 'agent') return true;
  if (shown.quality?.onBreach === 'hold' && shown.quality.state === 'breached') return true;
  const { approval, parameters } = requireDefinition(deps);
  if (!approval.when) return true;
  try {
    const parsed: unknown = parameters.parse(run.parameters ?? {});
    const summary =
      shown.gate === 'ingest'
        ? { parameters: parsed, requestedBy: { kind: req.kind } }
        : summaryOf(shown, parsed);
    return approval.when(summary as never) !== false;
  } catch {
    return true;
  }
}

function summaryOf(
  { counts, changes, rejectedByCode, quality }: ApprovalSubject,
  parameters: unknown,
): PublishSummary<unknown> {
  const { read, passed, filtered, rejected, emitted } = counts;
  return {
    ...{ read, passed, filtered, rejected, emitted },
    parameters,
    changes: { ...changes! },
    rejectedByCode: { ...rejectedByCode },
    breaches: quality ? breachedRules(quality) : [],
  };
}
