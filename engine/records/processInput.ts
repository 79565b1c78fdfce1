import type { Lookups } from '../../domain/pipelines/lookups.ts';
import type { LookupKeys } from '../../domain/ports/compute.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { type Rejection, rejections } from '../../domain/runs/rejection.ts';
import { addCounts, type Counts, zeroCounts } from '../../domain/runs/run.ts';
import type { Compression } from '../../domain/sources/compression.ts';
import type { PreparedDefinition } from './definition.ts';
import { lookupKeys } from './lookupKeys.ts';
import { processBatch } from './processBatch.ts';
import { createReceiver } from './receiver.ts';
import { type Observer, parseParameters } from './transformRecords.ts';

export interface InputOptions {
  compression?: Compression | undefined;
  /** As a caller would send them. */
  parameters: unknown;
  observer?: Observer;
  /** Looks values up for a batch, where the pipeline enriches. Default: nothing is looked up, and no record is transformed. */
  lookUp?(keys: LookupKeys['keys']): Promise<Lookups>;
  /** Sees the rejections of a batch, with its bytes where they were loaded. */
  onRejected(rejected: readonly Rejection[], batch: Batch, bytes: Buffer | undefined): void;
}

const scope = { tenant: 'local', runId: 'local' };

/**
 * Receives, validates and transforms a whole input in this process, as a run would, one batch at a time: a batch is forgotten before
 * the next one is read. Nothing is stored, so `stored`, `unchanged` and `deduplicated` stay 0.
 *
 * Throws `ParametersInvalid`, `HeaderInvalid` (CSV), `FormatMismatch`, `DecompressionFailed`, `DecompressedTooLarge` and
 * `TransformFailed` as a run would end with them.
 */
export async function processInput(
  definition: PreparedDefinition,
  objects: ObjectStore,
  bytes: AsyncIterable<Uint8Array>,
  { compression, parameters, observer, lookUp, onRejected }: InputOptions,
): Promise<{ counts: Counts; unknownFields: number; holdsData: boolean }> {
  parseParameters(definition, parameters);
  const { limits } = definition.pipeline.manifest;
  const input = { format: definition.format.manifest, limits, compression };
  const reception = createReceiver(objects).receive(scope, input, bytes);
  let counts = zeroCounts;
  let unknownFields = 0;
  for await (const batch of reception) {
    if (batch.refused) {
      onRejected([refusalOf(batch, batch.refused)], batch, undefined);
      counts = addCounts(counts, { read: 1, rejected: 1 });
    } else {
      const read = Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest)));
      const lookups =
        definition.pipeline.enrich && lookUp
          ? await lookUp((await lookupKeys(definition, batch, read)).keys)
          : undefined;
      const transform = { parameters, lookups };
      const done = await processBatch(definition, batch, read, { transform, observer });
      if (done.failure) throw done.failure;
      unknownFields += done.validated.unknownFields ?? 0;
      for (const stage of [done.validated, done.transformed!]) {
        onRejected(stage.rejections, batch, read);
        counts = addCounts(counts, stage.counts);
      }
    }
    if (!batch.bytes) await objects.remove(scope, [batch.digest]);
  }
  return { counts, unknownFields, holdsData: reception.holdsData };
}

function refusalOf(batch: Batch, code: NonNullable<Batch['refused']>): Rejection {
  const place = { position: batch.firstRecord, line: batch.firstLine, byteOffset: batch.firstByte };
  const row = batch.rowGroup === undefined ? {} : { rowGroup: batch.rowGroup };
  return { ...place, ...row, byteLength: batch.sizeBytes, code, path: '', message: rejections[code] };
}
