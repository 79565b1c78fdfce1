import { readJson } from '../../connectors/formats/ndjson/readJson.ts';
import type { Format, ReadRecord, VisitRecord } from '../../domain/connectors/formatKind.ts';
import type { LetterValue } from '../../domain/deadLetters/deadLetter.ts';
import { type LetterLine, writeLetterLine } from '../../domain/deadLetters/letterLine.ts';
import type { AnyPipeline } from '../../domain/pipelines/pipeline.ts';
import { upgradeRecord } from '../../domain/pipelines/upgrade.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { RecordPlace } from '../../domain/runs/rejection.ts';
import { codeFailure } from './codeFailure.ts';
import { formatOf, type PreparedDefinition } from './definition.ts';

/** Visits the records of a batch, which are of the source or dead letters. */
export async function readRecords(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  areLetters: boolean,
  visit: VisitRecord,
): Promise<void> {
  if (areLetters) await readLetters(definition, batch, bytes, visit);
  else await definition.format.read(batch, bytes, visit);
}

/** Each dead letter (`LetterLine`) as its format reads it, brought to the current version. */
async function readLetters(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  visit: VisitRecord,
): Promise<void> {
  let line = batch.firstLine;
  for (let start = 0; start < bytes.length; line++) {
    const next = bytes.indexOf(0x0a, start);
    const end = next < 0 ? bytes.length : next;
    const letter = JSON.parse(bytes.toString('utf8', start, end)) as LetterLine;
    const place = { position: batch.firstRecord + line - batch.firstLine, line };
    const record = upgrade(definition, letter, await readLetter(definition, letter), place);
    visit(start, end, line, record);
    start = end + 1;
  }
}

/** What a letter holds, for an edit by rule: the record before any upgrade; `undefined` where it cannot be read. */
export async function readLetterValue(
  pipeline: Pick<AnyPipeline, 'manifest'>,
  value: LetterValue,
): Promise<object | undefined> {
  const line = JSON.parse(writeLetterLine(value)) as LetterLine;
  const record = await readLetter({ format: formatOf(pipeline.manifest.source), pipeline }, line);
  return typeof record === 'object' && 'value' in record ? record.value : undefined;
}

/** The record of one letter, before any upgrade. */
async function readLetter(
  { format, pipeline }: { format: Format; pipeline: Pick<AnyPipeline, 'manifest'> },
  letter: LetterLine,
): Promise<ReadRecord> {
  if ('tooLarge' in letter) return 'RecordTooLarge';
  if ('record' in letter) return readJson(letter.record);
  const raw = Buffer.from(letter.raw, 'base64');
  if (raw.length > pipeline.manifest.limits.recordBytes) return 'RecordTooLarge';
  return readRaw(format, raw, letter.header);
}

async function readRaw(
  format: Format,
  raw: Buffer,
  header: readonly string[] | undefined,
): Promise<ReadRecord> {
  if (format.isJson) return readJsonBytes(raw);
  const found: ReadRecord[] = [];
  const batch = {
    ...{ seq: 0, digest: '', sizeBytes: raw.length, firstByte: 0, firstRecord: 0, firstLine: 1, records: 1 },
    ...(header && { header }),
  };
  await format.read(batch, raw, (_start, _end, _at, record) => void found.push(record));
  if (found.length === 1) return found[0]!;
  return format.kind.name === 'csv' ? 'MalformedCsv' : 'MalformedJson';
}

function readJsonBytes(raw: Buffer): ReadRecord {
  try {
    return readJson(new TextDecoder('utf-8', { fatal: true }).decode(raw));
  } catch {
    return 'InvalidUtf8';
  }
}

function upgrade(
  { pipeline }: PreparedDefinition,
  { version }: LetterLine,
  record: ReadRecord,
  place: Pick<RecordPlace, 'position' | 'line'>,
): ReadRecord {
  const { upgrade: steps, manifest } = pipeline;
  if (!steps || version >= manifest.version || typeof record !== 'object' || !('value' in record))
    return record;
  try {
    return { ...record, value: upgradeRecord(steps, record.value, version, manifest.version) };
  } catch (cause) {
    throw codeFailure('The upgrade', { place, locates: 'line' }, cause, record.value);
  }
}
