import { outputsOf } from '../domain/pipelines/outputs.ts';
import type { StagedBatch } from '../domain/ports/stages.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { objectScopeOf, requireDefinition } from './run.ts';

const rowsMax = 20;
/** How many batches are searched for rows; a run may filter all rows of the first ones. */
const batchesMax = 16;

/** Stores the first rows of each output that the run would publish as an object of the run: a JSON array of rows, each with its columns by name. */
export async function sampleOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): Promise<{ digest: string; rows: number } | null> {
  const { sink } = requireDefinition(deps).manifest;
  const rows: Record<string, string | null>[] = [];
  const counted = new Map<string, number>();
  const isFull = () => outputsOf(sink).every(({ name }) => (counted.get(name) ?? 0) >= rowsMax);
  for (const { transformed } of staged.slice(0, batchesMax)) {
    if (isFull()) break;
    if (transformed.sizeBytes === 0) continue;
    const bytes = await deps.objects.get(objectScopeOf(run), transformed.digest);
    for (const row of await deps.compute.readRows(sink, bytes, rowsMax)) {
      const output = (sink.outputs && row._output) || '';
      const before = counted.get(output) ?? 0;
      if (before >= rowsMax) continue;
      counted.set(output, before + 1);
      rows.push(row);
    }
  }
  if (rows.length === 0) return null;
  const digest = await deps.objects.put(objectScopeOf(run), Buffer.from(JSON.stringify(rows)));
  return { digest, rows: rows.length };
}
