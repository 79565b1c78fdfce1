import type { StagedBatch } from '../domain/ports/stages.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { objectScopeOf, requireDefinition } from './run.ts';

const rowsMax = 20;
/** How many batches are searched for rows; a run may filter all rows of the first ones. */
const batchesMax = 16;

/** Stores the first rows that the run would publish as an object of the run: a JSON array of rows, each with its columns by name. */
export async function sampleOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): Promise<{ digest: string; rows: number } | null> {
  const { sink } = requireDefinition(deps).manifest;
  const rows: Record<string, string | null>[] = [];
  for (const { transformed } of staged.slice(0, batchesMax)) {
    if (rows.length >= rowsMax) break;
    if (transformed.sizeBytes === 0) continue;
    const bytes = await deps.objects.get(objectScopeOf(run), transformed.digest);
    for (const texts of await deps.compute.readRows(sink, bytes, rowsMax - rows.length))
      rows.push(Object.fromEntries(sink.columns.map(({ name }, i) => [name, texts[i]!])));
  }
  if (rows.length === 0) return null;
  const digest = await deps.objects.put(objectScopeOf(run), Buffer.from(JSON.stringify(rows)));
  return { digest, rows: rows.length };
}
