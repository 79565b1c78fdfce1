import type { StagedRows } from '../domain/ports/ledger.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './index.ts';
import { definitionOf, scopeOf } from './run.ts';

/** The rows of a run, a batch at a time, each compared with the digest that was recorded of it. */
export async function* encodedBatches(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
  signal: AbortSignal,
): AsyncGenerator<StagedRows & StagedBatch> {
  const definition = definitionOf(deps);
  for (const one of staged) {
    signal.throwIfAborted();
    const bytes = await deps.objects.get(scopeOf(run), one.transformed.digest);
    yield { ...one, seq: one.batch.seq, rows: await deps.compute.encode({ definition, bytes }, signal) };
  }
}
