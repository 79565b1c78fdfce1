import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { isOfLetters } from '../domain/sources/source.ts';
import { needsApproval, subjectBeforeIngest, subjectBeforePublish } from './approvalSubject.ts';
import { decideOn } from './decide.ts';
import type { Dependencies } from './dependencies.ts';
import { type ApprovalStatus, approvalStatusOf } from './processApprovalTimers.ts';
import { requireQuality } from './quality.ts';
import { audited, digestOf, executionOf, requireDefinition, runOf } from './run.ts';
import { sampleOf } from './sample.ts';
import { encodedBatches, fitsNothing } from './stage.ts';
import { keepRejections } from './store.ts';

/**
 * Requests approval, unless `when` waives it. It builds the approval’s subject and stores it with its digest, which approvers
 * sign. A repeated call returns the standing approval. `after`: the round that is void.
 */
export async function gateStep(deps: Dependencies, { after }: { after: number }): Promise<ApprovalStatus> {
  const run = await runOf(deps);
  const terms = requireDefinition(deps).manifest.approval!;
  await deps.runs.begin(run, executionOf(), audited(deps, 'run.started'));
  const { shown, sample } =
    terms.before === 'ingest'
      ? { shown: subjectBeforeIngest(deps, run), sample: null }
      : await previewOf(deps, run);
  const digest = digestOf(canonicalJson(shown));
  const waived = !needsApproval(deps, run, shown);
  const asked = { shown, digest, terms, sample, waived, after: Number(after) || 0 };
  let approval = await deps.approvals.open(run, asked, (action, detail) => audited(deps, action, detail));
  // Decisions that were submitted but lost on the way: after a restart of the run no relay sends them again.
  for (const { jws, comment, form, counted } of approval.decisions)
    if (approval.state === 'pending' && counted === null)
      approval = (await decideOn(deps, run, { token: jws, comment, form })).approval ?? approval;
  return approvalStatusOf(approval);
}

/** The preview of publishing, from the sink, and the first rows for approvers who may reveal values. */
async function previewOf(deps: Dependencies, run: RunFacts) {
  const definition = requireDefinition(deps);
  const staged = await deps.stages.listStaged(run);
  // Dead letters are there already, and keep what they were rejected for until the run is published.
  if (!isOfLetters(run.source)) await keepRejections(deps, run, staged);
  const describe = await subjectBeforePublish(deps, run, staged, await requireQuality(deps, run));
  const found = await deps.ledger.previewRun({
    tenant: run.tenant,
    runId: run.runId,
    principal: deps.grant().claims.sub,
    sink: definition.manifest.sink,
    fitsNothing: fitsNothing(definition.manifest, staged),
    batches: () => encodedBatches(deps, run, staged, Context.current().cancellationSignal),
  });
  return { shown: describe(found), sample: await sampleOf(deps, run, staged) };
}
