import type { Batch } from '../../domain/runs/batch.ts';
import type { RecordPlace } from '../../domain/runs/rejection.ts';
import type { PreparedDefinition } from './definition.ts';
import { readRecords } from './letterRecords.ts';

/** Where the records of these positions are. Reads the batch again: only few records are asked for. */
export async function locateRecords(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  positions: readonly number[],
  areLetters = false,
): Promise<RecordPlace[]> {
  const wanted = new Set(positions);
  const places: RecordPlace[] = [];
  let position = batch.firstRecord;
  await readRecords(definition, batch, bytes, areLetters, (start, end, at) => {
    if (wanted.has(position))
      places.push({
        position,
        line: at,
        ...(batch.rowGroup !== undefined && { rowGroup: batch.rowGroup }),
        byteOffset: batch.firstByte + start,
        byteLength: end - start,
      });
    position++;
  });
  return places;
}
