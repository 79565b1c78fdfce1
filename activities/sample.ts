import type { StagedBatch } from '../domain/ports/stages.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { definitionOf, scopeOf } from './run.ts';

const rowsMax = 20;
/** How many batches are searched for rows; a run may filter all rows of the first ones. */
const batchesMax = 16;

/** Stores the first rows that the run would publish as an object of the run: a JSON array of rows, each with its columns by name. */
export async function sampleOf(
  deps: Dependencies,
  run: RunFacts,
  staged: readonly StagedBatch[],
): Promise<{ digest: string; rows: number } | null> {
  const { columns } = definitionOf(deps).manifest.sink;
  const rows: Record<string, string | null>[] = [];
  for (const { transformed } of staged.slice(0, batchesMax)) {
    if (rows.length >= rowsMax) break;
    if (transformed.sizeBytes === 0) continue;
    const bytes = await deps.objects.get(scopeOf(run), transformed.digest);
    for (const line of firstLines(bytes, rowsMax - rows.length)) {
      const texts = JSON.parse(line)[4] as (string | null)[];
      rows.push(Object.fromEntries(columns.map(({ name }, i) => [name, texts[i]!])));
    }
  }
  if (rows.length === 0) return null;
  const digest = await deps.objects.put(scopeOf(run), Buffer.from(JSON.stringify(rows)));
  return { digest, rows: rows.length };
}

function firstLines(bytes: Uint8Array, linesMax: number): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const lines: string[] = [];
  let from = 0;
  let to = buffer.indexOf(10);
  while (lines.length < linesMax && to >= 0) {
    lines.push(buffer.toString('utf8', from, to));
    from = to + 1;
    to = buffer.indexOf(10, from);
  }
  return lines;
}
