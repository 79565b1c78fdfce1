import { createEncoder } from '../../connectors/sinks/postgres/encodeRows.ts';
import type { SinkManifest } from '../../domain/pipelines/manifest.ts';
import type { BatchToStore } from '../../domain/ports/ledger.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import { people } from './sinkManifests.ts';

/** Rows of `people` as the encoder writes those of a large batch; names are padded, so that 24 rows are one. */
export function slottedRows(
  rows: readonly [id: number, name: string][],
  firstPosition: number,
  sink: SinkManifest = people,
): EncodedRows {
  const writer = createEncoder(sink).begin(1024);
  for (const [i, [id, name]] of rows.entries())
    writer.add(firstPosition + i, [{ id, name: name.padEnd(3_000, '.') }]);
  const { bytes, slots } = writer.finish({ slotted: true });
  if (!slots) throw new Error('The rows are not in slots.');
  const starts = slots.map((_, i) => slots.slice(0, i).reduce((sum, slot) => sum + slot.sizeBytes, 0));
  const ofSlots = (wanted: readonly number[]): EncodedRows => ({
    emitted: wanted.reduce((sum, i) => sum + slots[i]!.emitted, 0),
    sizeBytes: wanted.reduce((sum, i) => sum + slots[i]!.sizeBytes, 0),
    async *chunks() {
      for (const i of wanted) yield bytes.subarray(starts[i], starts[i]! + slots[i]!.sizeBytes);
    },
  });
  return { ...ofSlots(slots.map((_, i) => i)), ofSlots };
}

/** Such a batch; positions follow `seq`. */
export function slottedBatch(
  run: { tenant: string; runId: string },
  seq: number,
  all: readonly [id: number, name: string][],
  more: Partial<BatchToStore> = {},
): BatchToStore {
  return {
    ...run,
    principal: 'prn_1',
    credential: {
      tenant: run.tenant,
      principals: ['prn_1'],
      issuedAtS: 0,
      grants: [run.runId],
      key: 'key_1',
    },
    pipeline: 'people',
    version: 1,
    seq,
    sink: people,
    rows: more.rows ?? slottedRows(all, seq * 10_000),
    counts: { ...zeroCounts, read: all.length, passed: all.length, emitted: all.length },
    deadLetters: [],
    lettersOf: async () => [],
    audit: (counts) => ({
      action: 'batch.stored',
      outcome: 'success',
      tenant: run.tenant,
      actor: null,
      runId: run.runId,
      txn: null,
      detail: { seq, ...counts },
    }),
    ...more,
  };
}
