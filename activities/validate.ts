import { Context } from '@temporalio/activity';
import type { Counts } from '../domain/runs/run.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, requireDefinition, workOf } from './run.ts';
import { batchTask, recordStage, rejectedWhole } from './stage.ts';

/**
 * Validates each record of a batch against the input schema. An invalid record is a rejection, not a failure. Where the grant permits
 * the next step too, that is computed in the same pass, and recorded only by that step.
 */
export async function validateStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const { batch, validated } = await workOf(deps, run, seq);
  if (validated) return validated.counts;
  // Where the rate of the tenant is used up, the attempt fails and says when the next one is due.
  await deps.limitedRates.take(run, 'recordsPerSecond', batch.records);

  const enriches = requireDefinition(deps).manifest.enrich !== undefined;
  const result = batch.refused
    ? rejectedWhole(batch)
    : await deps.compute.validate(
        { ...batchTask(deps, run, batch), ahead: !enriches && deps.isPermitted('transform') },
        Context.current().cancellationSignal,
      );
  const audit = audited(deps, 'batch.validated', { seq, batch: batch.digest, ...result.counts });
  return recordStage(deps, run, { seq, stage: 'validate' }, result, audit);
}
