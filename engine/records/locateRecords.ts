import type { Batch } from '../../domain/runs/batch.ts';
import type { RecordPlace } from '../../domain/runs/rejection.ts';
import type { PreparedDefinition } from './definition.ts';

/** Where the records of these positions are. Reads the batch again: only few records are asked for. */
export async function locateRecords(
  { format }: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  positions: readonly number[],
): Promise<RecordPlace[]> {
  const wanted = new Set(positions);
  const places: RecordPlace[] = [];
  let position = batch.firstRecord;
  await format.read(batch, bytes, (start, end, at) => {
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
