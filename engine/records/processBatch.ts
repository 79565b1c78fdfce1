import type { ReadRecord, VisitRecord } from '../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Locates, RecordPlace } from '../../domain/runs/rejection.ts';
import { codeFailure, notePosition, type RecordPosition } from './codeFailure.ts';
import type { PreparedDefinition } from './definition.ts';
import { readRecords } from './letterRecords.ts';
import { type Observer, RecordTransformer, type TransformOptions } from './transformRecords.ts';
import { RecordValidator, type ValidRecord } from './validateRecords.ts';

export interface Processed {
  validated: StageResult;
  /** Where it was asked for and did not fail. */
  transformed?: StageResult & { rows: Uint8Array };
  /** Why the transform failed; the validation went on. */
  failure?: WaybillError;
}

export interface ProcessOptions {
  /** With it, valid records are transformed and encoded too. */
  transform?: TransformOptions | undefined;
  /** The records are dead letters. */
  areLetters?: boolean | undefined;
  /** Sees rows and filtered records, for tests of pipelines. */
  observer?: Observer | undefined;
  progress?: RecordPosition | undefined;
}

/**
 * Reads the records of a batch once. Each is validated, transformed and encoded before the next is read, so that it can be
 * collected while it is young. A record that does not fit is a rejection and touches no other.
 *
 * Throws `BatchCorrupt` where the batch has another number of records than it says, `HeaderInvalid`, and `TransformFailed`
 * where code inside the input schema throws.
 */
export async function processBatch(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  { transform, areLetters = false, observer, progress }: ProcessOptions = {},
): Promise<Processed> {
  const validator = new RecordValidator(definition);
  let failure: WaybillError | undefined;
  const transformer =
    transform && attempt(() => new RecordTransformer(definition, transform, bytes.length, observer));
  const { locates } = definition.format.kind;
  const { rowGroup } = batch;
  let records = 0;

  function attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof WaybillError)) throw error;
      failure = error;
      return undefined;
    }
  }

  const visit: VisitRecord = (start, end, at, record) => {
    const place: RecordPlace = {
      position: batch.firstRecord + records,
      line: at,
      byteOffset: batch.firstByte + start,
      byteLength: end - start,
    };
    if (rowGroup !== undefined) place.rowGroup = rowGroup;
    if (progress) notePosition(progress, place, locates);
    records++;
    const valid = validate(validator, { place, locates }, record);
    if (valid && transformer && !failure) attempt(() => transformer.add(place, valid));
  };
  await readRecords(definition, batch, bytes, areLetters, visit);
  if (records !== batch.records)
    throw new WaybillError('BatchCorrupt', { detail: `${records} records, not ${batch.records}` });
  return {
    validated: validator.finish(records),
    ...(transformer && !failure && { transformed: transformer.finish() }),
    ...(failure && { failure }),
  };
}

function validate(
  validator: RecordValidator,
  at: { place: RecordPlace; locates: Locates },
  record: ReadRecord,
): ValidRecord | undefined {
  try {
    return validator.check(at.place, record);
  } catch (cause) {
    // What a check or a transform inside the schema throws is a mistake in the pipeline, not in the record.
    throw codeFailure('The input schema', at, cause, record);
  }
}
