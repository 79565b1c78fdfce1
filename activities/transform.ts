import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { Counts } from '../domain/runs/run.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, definitionOf, scopeOf, workOf } from './run.ts';
import { recordStage } from './stage.ts';

/** Runs the pipeline’s transform on each valid record of a batch, and validates what it returns. */
export async function transformStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const definition = definitionOf(deps);
  const { validated, transformed } = await workOf(deps, run, seq);
  if (transformed) return transformed.counts;

  if (!validated)
    throw new WaybillError('StepResultInvalid', { detail: `batch ${seq} of ${run.runId} is not validated` });
  const result = await deps.compute.transform(
    { definition, parameters: run.parameters, bytes: await deps.objects.get(scopeOf(run), validated.digest) },
    Context.current().cancellationSignal,
  );
  const audit = audited(deps, 'batch.transformed', { seq, ...result.counts });
  return recordStage(deps, run, { seq, stage: 'transform' }, result, audit);
}
