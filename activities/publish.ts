import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import { credentialOf } from '../domain/grants/grant.ts';
import type { Publication } from '../domain/ports/ledger.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import { addCounts, type Counts, zeroCounts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { needsApproval, subjectBeforePublish } from './approvalSubject.ts';
import { credentialOfDecision, hasValidForms, mayApprove, signedApproval } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, digestOf, requireDefinition, runOf } from './run.ts';
import { encodedBatches } from './stage.ts';
import { deadLettersOf } from './store.ts';

/**
 * Publishes all rows of the run in one transaction, if approvers have signed exactly this: the step builds the subject again, in
 * that transaction, and its digest must be the signed one, and each approver must still be permitted.
 * `stale`: the digest differs, and approval is requested again. Throws `ApprovalRequired` where a workflow comes here without
 * approval.
 */
export async function publishStep(
  deps: Dependencies,
): Promise<{ outcome: 'published'; counts: Partial<Counts> } | { outcome: 'stale' }> {
  const run = await runOf(deps);
  const { manifest } = requireDefinition(deps);
  const grant = deps.grant();
  const approval = await deps.approvals.find(run);
  if (!approval) throw new WaybillError('ApprovalRequired', { detail: `${run.runId} was never asked about` });
  const waived = approval.state === 'waived';
  const given = waived ? [] : await signedApproval(deps, run, approval);
  // Days may pass between the first vote and the last.
  const stillMay = () =>
    given.every(({ claims }) => mayApprove(deps, manifest, claims)) && hasValidForms(deps, approval);
  const staged = await deps.stages.listStaged(run);
  const describe = await subjectBeforePublish(deps, run, staged);

  const published = await deps.ledger.publishRun({
    tenant: run.tenant,
    runId: run.runId,
    principal: grant.claims.sub,
    credential: credentialOf(grant),
    pipeline: run.pipeline,
    version: run.version,
    sink: manifest.sink,
    movesWatermark: 'cursor' in manifest.source,
    approval: approval.id,
    approvers: given.map(credentialOfDecision),
    batches: () => batchesOf(deps, run, staged),
    permits: (found) => {
      const shown = describe(found);
      if (waived) return !needsApproval(deps, run, shown);
      return digestOf(canonicalJson(shown)) === approval.digest && stillMay();
    },
    audit: (counts) => {
      const decisions = approval.decisions.flatMap(({ id, counted }) => (counted === true ? [id] : []));
      return audited(deps, 'run.published', { approval: approval.id, decisions, ...counts });
    },
  });
  if (published.outcome === 'stale') return published;
  const { stored, unchanged, deduplicated } = published.counts;
  return { outcome: 'published', counts: { stored, unchanged, deduplicated } };
}

async function* batchesOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): ReturnType<Publication['batches']> {
  for await (const one of encodedBatches(deps, run, staged, Context.current().cancellationSignal)) {
    const { seq, rows, batch, validated, transformed } = one;
    const counts = addCounts(addCounts(zeroCounts, validated.counts), transformed.counts);
    yield { seq, rows, counts, deadLetters: await deadLettersOf(deps, run, batch, validated, transformed) };
  }
}
