import assert from 'node:assert/strict';
import type { Batch } from '../../domain/runs/batch.ts';

/** The batches of a run as its record keeps them. Another batch in the place of one is an error; after `appendsLeft` the process is killed. */
export function keptBatches() {
  const batches: Batch[] = [];
  const kept = {
    batches,
    appendsLeft: Number.POSITIVE_INFINITY,
    findLast: async () => batches.at(-1),
    findFirstOf: async (_: object, source: string) => batches.find((one) => one.source === source),
    append: async (_: object, batch: Batch) => {
      if (kept.appendsLeft-- === 0) throw new Error('killed');
      const standing = batches[batch.seq];
      if (standing) assert.deepEqual(batch, standing);
      batches[batch.seq] = batch;
    },
  };
  return kept;
}
