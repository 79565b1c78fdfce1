import { LineWriter } from '../../connectors/lineWriter.ts';
import type { Locator, ReadRecord } from '../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import { fitValues } from '../../domain/pipelines/fitValues.ts';
import { parseFirst } from '../../domain/pipelines/parseFirst.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import {
  type RecordRejection,
  type Rejection,
  type RejectionCode,
  rejections,
} from '../../domain/runs/rejection.ts';
import { codeFailure, type Progress } from './codeFailure.ts';
import { CursorMaximum } from './cursorMaximum.ts';
import type { InputFields, PreparedDefinition } from './definition.ts';
import { describeIssue } from './describeIssue.ts';

/**
 * Reads the records of a batch and checks each against the input schema. A record that does not fit is a rejection
 * and touches no other. Throws `BatchCorrupt` where the batch has another number of records than it says, and
 * `TransformFailed` where code inside the schema throws.
 */
export async function validateBatch(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  progress?: Progress,
): Promise<StageResult> {
  const { format, cursor } = definition;
  const { input } = definition.pipeline;
  if (batch.header) checkHeader(batch.header, definition.fields);
  const keepsText = definition.preserving && format.isJson;
  const rejected: Rejection[] = [];
  const lines = new LineWriter(bytes.length * 1.25);
  const highest = cursor && new CursorMaximum(cursor, input);
  let records = 0;

  function check(start: number, end: number, at: Locator, record: ReadRecord): void {
    const position = batch.firstRecord + records;
    const read = typeof record === 'object' && 'value' in record ? record : undefined;
    const value = read?.value;
    const inexact = read?.inexact ?? false;
    const unfit =
      value && (inexact || definition.exactFields) && fitValues(value, definition.exactFields, inexact);
    const parsed = value && !unfit ? parseFirst(input, value, end - start > largeBytes) : undefined;
    const byteOffset = batch.firstByte + start;
    if (parsed?.success) {
      highest?.see(parsed.data as Record<string, unknown>);
      lines.ascii(`[${position},${at},${byteOffset},${end - start},`);
      if (keepsText) lines.copy(bytes, start, end);
      else lines.text(definition.codec.write(parsed.data));
      lines.ascii(']\n');
      return;
    }
    if (value) highest?.seeRefused(value);
    const why = unfit
      ? unfit
      : parsed
        ? describeIssue(parsed.issue, value)
        : rejectionOf(record as Exclude<ReadRecord, { value: object }>);
    rejected.push({ position, line: at as number, byteOffset, byteLength: end - start, ...why });
  }

  await format.read(batch, bytes, (start, end, at, record) => {
    const place = { position: batch.firstRecord + records, line: at as number };
    progress?.set([place.position, place.line]);
    try {
      check(start, end, at, record);
    } catch (cause) {
      // What a check or a transform inside the schema throws is a mistake in the pipeline, not in the record.
      throw codeFailure('The input schema', place, cause, record);
    }
    records++;
  });
  if (records !== batch.records) {
    throw new WaybillError('BatchCorrupt', { detail: `${records} records, not ${batch.records}` });
  }
  const counts = { read: records, rejected: rejected.length };
  const seen = highest?.value;
  return {
    bytes: lines.finish(),
    rejections: rejected,
    counts,
    ...(seen !== undefined && { highest: seen }),
  };
}

/** Of a larger record not all issues are looked for: it may have a million. */
const largeBytes = 16 * 1024;

/** Without a required column every record would be rejected, and so by a column that the schema does not name. */
function checkHeader(header: readonly string[], { known, required }: InputFields): void {
  const missing = required.filter((name) => !header.includes(name));
  const unknown = header.filter((name) => !known.includes(name));
  if (missing.length === 0 && unknown.length === 0) return;
  const said = [
    missing.length > 0 && `Missing: ${listed(missing)}.`,
    unknown.length > 0 && `Unknown: ${listed(unknown)}.`,
  ];
  throw new WaybillError('HeaderInvalid', {
    publicDetail: `The columns are not the fields of the input. ${said.filter(Boolean).join(' ')}`,
  });
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => JSON.stringify(name.slice(0, 64)));
  return names.length > 10 ? `${shown.join(', ')} and ${names.length - 10} more` : shown.join(', ');
}

function rejectionOf(reason: RejectionCode | RecordRejection): RecordRejection {
  return typeof reason === 'string' ? { code: reason, path: '', message: rejections[reason] } : reason;
}
