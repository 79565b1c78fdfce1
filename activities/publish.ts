import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import { credentialOf } from '../domain/grants/grant.ts';
import type { Publication } from '../domain/ports/ledger.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { QualityResult } from '../domain/quality/quality.ts';
import { addCounts, type Counts, zeroCounts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { isOfLetters, isPulled } from '../domain/sources/source.ts';
import { needsApproval, subjectBeforePublish } from './approvalSubject.ts';
import { approvedRun, credentialOfDecision, hasValidForms, mayApprove, signedApproval } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { writeFiles } from './destination.ts';
import { requireQuality } from './quality.ts';
import { audited, digestOf, requireDefinition } from './run.ts';
import { batchTask, encodedBatches, fitsNothing, writtenBatches } from './stage.ts';
import { deadLettersOf } from './store.ts';

/**
 * Publishes all rows of the run in one transaction. Behind a gate it does so if approvers have signed exactly this: the step builds
 * the subject again, in that transaction, and its digest must be the signed one, and each approver must still be permitted.
 * `stale`: the digest differs, and approval is requested again. Throws `ApprovalRequired` where a workflow comes here without
 * approval, and `QualityBreached` where the quality of the rows fails the run.
 */
export async function publishStep(
  deps: Dependencies,
): Promise<{ outcome: 'published'; counts: Partial<Counts> } | { outcome: 'stale' }> {
  const run = await approvedRun(deps);
  const { manifest } = requireDefinition(deps);
  const staged = await deps.stages.listStaged(run);
  const quality = await requireQuality(deps, run);
  const isGated = manifest.approval?.before === 'publish';
  const grant = deps.grant();
  const publication: Publication = {
    tenant: run.tenant,
    runId: run.runId,
    principal: grant.claims.sub,
    credential: credentialOf(grant),
    pipeline: run.pipeline,
    version: run.version,
    sink: manifest.sink,
    fitsNothing: fitsNothing(manifest, staged),
    movesWatermark: 'cursor' in manifest.source && isPulled(run.source),
    settlesLetters: isOfLetters(run.source),
    batches: () => batchesOf(deps, run, staged),
    ...(isGated ? await permissionOf(deps, run, staged, quality) : withoutGate(deps)),
  };
  if (deps.destinations.has(run.definition.sink.kind) && !(await deps.ledger.isPublished(run))) {
    // Nothing leaves before it is permitted; the transaction of the ledger decides again.
    if (isGated && !publication.permits(await deps.ledger.previewRun(publication)))
      return { outcome: 'stale' };
    await writeFiles(deps, run, staged);
  }
  const published = await deps.ledger.publishRun(publication);
  if (published.outcome === 'stale') {
    if (isGated) return published;
    throw new WaybillError('DatabaseUnavailable', { detail: 'the table changed while rows were published' });
  }
  if (!isGated)
    for (const { batch, enriched } of staged)
      await deps.compute.forget(batchTask(deps, run, batch, enriched));
  const { stored, unchanged, deduplicated } = published.counts;
  return { outcome: 'published', counts: { stored, unchanged, deduplicated } };
}

type Permission = Pick<Publication, 'approval' | 'approvers' | 'permits' | 'audit'>;

function withoutGate(deps: Dependencies): Permission {
  const audit: Permission['audit'] = (counts) => audited(deps, 'run.published', { ...counts });
  return { approval: undefined, approvers: [], permits: () => true, audit };
}

async function permissionOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
  quality: QualityResult | undefined,
): Promise<Permission> {
  const { manifest } = requireDefinition(deps);
  const approval = await deps.approvals.find(run);
  if (!approval) throw new WaybillError('ApprovalRequired', { detail: `${run.runId} was never asked about` });
  const waived = approval.state === 'waived';
  const given = waived ? [] : await signedApproval(deps, run, approval);
  // Days may pass between the first vote and the last.
  const stillMay = () =>
    given.every(({ claims }) => mayApprove(deps, manifest, claims)) && hasValidForms(deps, approval);
  const describe = await subjectBeforePublish(deps, run, staged, quality);
  return {
    approval: approval.id,
    approvers: given.map(credentialOfDecision),
    permits: (found) => {
      const shown = describe(found);
      if (waived) return !needsApproval(deps, run, shown);
      return digestOf(canonicalJson(shown)) === approval.digest && stillMay();
    },
    audit: (counts) => {
      const decisions = approval.decisions.flatMap(({ id, counted }) => (counted === true ? [id] : []));
      return audited(deps, 'run.published', { approval: approval.id, decisions, ...counts });
    },
  };
}

async function* batchesOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): ReturnType<Publication['batches']> {
  const all = deps.destinations.has(run.definition.sink.kind)
    ? writtenBatches(staged)
    : encodedBatches(deps, run, staged, Context.current().cancellationSignal);
  for await (const one of all) {
    const { seq, rows, batch, validated, transformed } = one;
    const counts = addCounts(addCounts(zeroCounts, validated.counts), transformed.counts);
    yield {
      seq,
      first: batch.firstRecord,
      rows,
      counts,
      deadLetters: await deadLettersOf(deps, run, batch, validated, transformed),
    };
  }
}
