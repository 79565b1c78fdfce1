import { Context } from '@temporalio/activity';
import type { Counts } from '../domain/runs/run.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, definitionOf, scopeOf, workOf } from './run.ts';
import { recordStage, rejectedWhole } from './stage.ts';

/** Validates each record of a batch against the input schema. An invalid record is a rejection, not a failure. */
export async function validateStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const definition = definitionOf(deps);
  const { batch, validated } = await workOf(deps, run, seq);
  if (validated) return validated.counts;

  const result = batch.refused
    ? rejectedWhole(batch)
    : await deps.compute.validate(
        { definition, batch, bytes: await deps.objects.get(scopeOf(run), batch.digest) },
        Context.current().cancellationSignal,
      );
  const audit = audited(deps, 'batch.validated', { seq, batch: batch.digest, ...result.counts });
  return recordStage(deps, run, { seq, stage: 'validate' }, result, audit);
}
