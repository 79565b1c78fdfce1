import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { type ApprovalStatus, approvalStatusOf } from './approvalStatus.ts';
import { decideOn } from './decide.ts';
import { encodedBatches } from './encodedBatches.ts';
import type { Dependencies } from './index.ts';
import { audited, definitionOf, digestOf, executionOf, runOf } from './run.ts';
import { sampleOf } from './sample.ts';
import { mustWait, shownBeforeIngest, shownBeforePublish } from './shown.ts';

/**
 * Asks people, unless `when` says that this run need not wait. What they are shown is made here and kept with its digest, which is
 * what they sign. Asked again it answers with what stands. `after`: the round that does not hold any more.
 */
export async function gateStep(deps: Dependencies, { after }: { after: number }): Promise<ApprovalStatus> {
  const run = await runOf(deps);
  const terms = definitionOf(deps).manifest.approval!;
  await deps.runs.begin(run, executionOf(), audited(deps, 'run.started'));
  const { shown, sample } =
    terms.before === 'ingest'
      ? { shown: shownBeforeIngest(deps, run), sample: null }
      : await previewOf(deps, run);
  const digest = digestOf(canonicalJson(shown));
  const waived = !mustWait(deps, run, shown);
  const asked = { shown, digest, terms, sample, waived, after: Number(after) || 0 };
  let approval = await deps.approvals.open(run, asked, (action, detail) => audited(deps, action, detail));
  // Decided already, and perhaps lost on the way: of a run that began anew nobody sends them again.
  for (const { jws, comment, form, counted } of approval.decisions)
    if (approval.state === 'pending' && counted === null)
      approval = (await decideOn(deps, run, { token: jws, comment, form })).approval ?? approval;
  return approvalStatusOf(approval);
}

/** What publishing would do, by the sink’s own account, and the first rows for those who may see them. */
async function previewOf(deps: Dependencies, run: RunFacts) {
  const definition = definitionOf(deps);
  const staged = await deps.stages.listStaged(run);
  const describe = await shownBeforePublish(deps, run, staged);
  const found = await deps.ledger.previewRun({
    tenant: run.tenant,
    runId: run.runId,
    principal: deps.grant().claims.sub,
    sink: definition.manifest.sink,
    batches: () => encodedBatches(deps, run, staged, Context.current().cancellationSignal),
  });
  return { shown: describe(found), sample: await sampleOf(deps, run, staged) };
}
