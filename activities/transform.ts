import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { BatchTask, StageResult } from '../domain/ports/compute.ts';
import type { Counts } from '../domain/runs/run.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, requireDefinition, workOf } from './run.ts';
import { batchTask, noRows, outputOf, recordStage } from './stage.ts';

/** Runs the pipeline’s transform on each valid record of a batch, and validates what it returns. */
export async function transformStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const { batch, validated, enriched, transformed } = await workOf(deps, run, seq);
  if (transformed) return transformed.counts;

  if (!validated)
    throw new WaybillError('StepResultInvalid', { detail: `batch ${seq} of ${run.runId} is not validated` });
  if (requireDefinition(deps).manifest.enrich && !enriched && !batch.refused)
    throw new WaybillError('StepResultInvalid', { detail: `batch ${seq} of ${run.runId} is not enriched` });
  const task = batchTask(deps, run, batch, enriched);
  const signal = Context.current().cancellationSignal;
  const result = batch.refused ? noRows : await transform(deps, task, validated.digest, signal);
  if (isStaged(deps)) await keepRows(deps, task, result, signal);
  const audit = audited(deps, 'batch.transformed', { seq, ...result.counts });
  return recordStage(deps, run, { seq, stage: 'transform' }, result, audit);
}

/** Throws `StageMismatch` where the records are not those that were validated. */
async function transform(
  deps: Dependencies,
  task: BatchTask,
  validatedDigest: string,
  signal: AbortSignal,
): Promise<StageResult> {
  const { validated, transformed } = await deps.compute.transform(task, signal);
  if (validated.digest === validatedDigest) return transformed;
  throw new WaybillError('StageMismatch', { detail: `batch ${task.batch.seq} of ${task.scope.runId}` });
}

/** A run that waits for an approval before it publishes must publish what was shown, however long it waits. */
function isStaged(deps: Dependencies): boolean {
  return requireDefinition(deps).manifest.approval?.before === 'publish';
}

async function keepRows(
  deps: Dependencies,
  task: BatchTask,
  result: StageResult,
  signal: AbortSignal,
): Promise<void> {
  const writer = await deps.objects.create(task.scope);
  try {
    if (!task.batch.refused) {
      const rows = await deps.compute.rows(task, outputOf(result), signal);
      for await (const chunk of rows.chunks()) await writer.write(chunk);
    }
    await writer.finish();
  } finally {
    await writer.abort();
  }
  await deps.compute.forget(task);
}
