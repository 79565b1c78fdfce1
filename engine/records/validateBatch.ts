import { isAscii, isUtf8 } from 'node:buffer';
import { WaybillError } from '../../domain/errors.ts';
import type { FormatManifest } from '../../domain/pipelines/manifest.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { type Rejection, type RejectionCode, rejections } from '../../domain/runs/rejection.ts';
import { readFields } from './csvFields.ts';
import { CursorMaximum } from './cursorMaximum.ts';
import type { PreparedDefinition } from './definition.ts';
import { describeIssue } from './describeIssue.ts';
import { eachRecord } from './eachRecord.ts';
import { LineWriter } from './lineWriter.ts';
import { readJson } from './readJson.ts';

/**
 * Reads the records of a batch and checks each against the input schema. A record that does not fit is a rejection
 * and touches no other. Throws `BatchCorrupt` where the batch has another number of records than it says, and
 * `TransformFailed` where code inside the schema throws.
 */
export function validateBatch(definition: PreparedDefinition, batch: Batch, bytes: Buffer): StageResult {
  const format = batch.header ? definition.format : ndjson;
  const decode = decoderOf(bytes);
  const read = format.name === 'csv' ? csvReader(format, batch.header!) : readJson;
  const { input } = definition.pipeline;
  const keepsText = definition.preserving && format.name === 'ndjson';
  const rejected: Rejection[] = [];
  const lines = new LineWriter(bytes.length * 1.25);
  const highest = definition.cursor && new CursorMaximum(definition.cursor, input);
  let records = 0;

  function check(start: number, end: number, line: number): void {
    const position = batch.firstRecord + records;
    const text = decode(start, end);
    const record = text === undefined ? 'InvalidUtf8' : read(text);
    const value = typeof record === 'object' && 'value' in record ? record.value : undefined;
    const parsed = value && input.safeParse(value);
    const byteOffset = batch.firstByte + start;
    if (parsed?.success) {
      highest?.see(parsed.data);
      lines.ascii(`[${position},${line},${byteOffset},${end - start},`);
      if (keepsText) lines.copy(bytes, start, end);
      else lines.text(definition.codec.write(parsed.data));
      lines.ascii(']\n');
      return;
    }
    if (value) highest?.seeRefused(value);
    const why = parsed ? describeIssue(parsed.error.issues, value) : refusalOf(record as Refusal);
    rejected.push({ position, line, byteOffset, byteLength: end - start, ...why });
  }

  try {
    eachRecord(bytes, format, batch.firstLine, (start, end, line) => {
      check(start, end, line);
      records++;
    });
  } catch (cause) {
    // What a check or a transform inside the schema throws is a mistake in the pipeline, not in the record.
    const message = cause instanceof Error ? cause.message : String(cause);
    const detail = `the input schema threw at position ${batch.firstRecord + records}: ${message}`;
    throw new WaybillError('TransformFailed', { detail, cause });
  }
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

const ndjson: FormatManifest = { name: 'ndjson' };

type Refusal = RejectionCode | Pick<Rejection, 'code' | 'path' | 'message'>;
type Reader = (text: string) => { value: object } | Refusal;

function refusalOf(refusal: Refusal): Pick<Rejection, 'code' | 'path' | 'message'> {
  return typeof refusal === 'string' ? { code: refusal, path: '', message: rejections[refusal] } : refusal;
}

/** Most batches are ASCII as a whole, or at least UTF-8 as a whole; only in the others is each record asked. */
function decoderOf(bytes: Buffer): (start: number, end: number) => string | undefined {
  if (isAscii(bytes)) return (start, end) => bytes.toString('latin1', start, end);
  if (isUtf8(bytes)) return (start, end) => bytes.toString('utf8', start, end);
  return (start, end) =>
    isUtf8(bytes.subarray(start, end)) ? bytes.toString('utf8', start, end) : undefined;
}

function csvReader(format: FormatManifest & { name: 'csv' }, header: readonly string[]): Reader {
  const empty = format.emptyAs === 'null' ? null : '';
  return (text) => {
    const fields = readFields(text, format.delimiter);
    if (!fields) return 'MalformedCsv';
    if (fields.length !== header.length) {
      const message = `${rejections.WrongColumnCount.slice(0, -1)}: ${fields.length}, not ${header.length}.`;
      return { code: 'WrongColumnCount', path: '', message };
    }
    if (text.includes('\0')) return 'NulByte';
    const value: Record<string, string | null> = {};
    for (let i = 0; i < header.length; i++) value[header[i]!] = fields[i] === '' ? empty : fields[i]!;
    return { value };
  };
}
