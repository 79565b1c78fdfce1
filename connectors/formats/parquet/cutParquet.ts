import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import type { FileLayout, RandomAccess } from '../../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Limits } from '../../../domain/pipelines/manifest.ts';
import { type Convert, exactColumns } from './exactColumns.ts';
import { checkPages, pageCompressors, rangeOf, Unreadable } from './pageBounds.ts';
import { writeRow } from './writeRow.ts';

/** A row group lies in memory as it is in the file, and decoded as far as its rows are being written. */
const rowGroupBytesMax = 1024 * 1024 * 1024;
const readBytes = 8 * 1024 * 1024;
/** Of a flat file, so many rows are decoded at a time. */
const sliceRows = 100_000;
/** The footer is read as a whole; that of a file with a thousand row groups of a hundred columns has some 20 MiB. */
const footerBytesMax = 128 * 1024 * 1024;

/**
 * Writes the rows of a file as lines of JSON, with each digit that they have, so that a batch needs nothing of the file and a
 * rejected row can be read by people. Holds one row group at a time. Throws `FormatMismatch`, `DecompressedTooLarge`.
 */
export const cutParquet: FileLayout['cut'] = async function* (file, limits) {
  try {
    yield* cut(file, limits);
  } catch (error) {
    // The library throws anything over a file that is damaged.
    throw asMismatch('its values cannot be read', error);
  }
};

async function* cut(file: RandomAccess, limits: Limits): AsyncGenerator<FilePiece, void, void> {
  if (file.sizeBytes === 0) return;
  const metadata = await attempt('it has no readable footer', () => readMetadata(file));
  const root = parquetSchema(metadata);
  const wrong = wrongNames(root);
  if (wrong) throw mismatch(wrong);
  const isFlat = root.children.every(
    ({ children, element }) => children.length === 0 && element.repetition_type !== 'REPEATED',
  );
  const converts = exactColumns(metadata, root);
  let firstRecord = 0;
  let firstByte = 0;
  for (const [rowGroup, group] of metadata.row_groups.entries()) {
    const groupRows = Number(group.num_rows);
    if (!Number.isSafeInteger(groupRows) || groupRows < 0)
      throw mismatch('a row group has no number of rows');
    if (groupRows === 0) continue;
    if (Number(group.total_byte_size) > rowGroupBytesMax) throw mismatch(tooLarge);
    const what = `row group ${rowGroup} cannot be read`;
    const buffer = await attempt(what, () => loadGroup(file, group, isFlat));
    const columnar = { ...metadata, row_groups: [group] };
    for (let row = 0; row < groupRows; ) {
      const rowEnd = isFlat ? Math.min(groupRows, row + sliceRows) : groupRows;
      const from = row;
      const rows = await attempt(what, () =>
        parquetReadObjects({ ...options(columnar), file: buffer, rowStart: from, rowEnd }),
      );
      if (rows.length !== rowEnd - row) throw mismatch(`rows of row group ${rowGroup} are not all there`);
      for (const piece of batchesOf(rows, converts, limits, { firstByte, firstRecord, rowGroup, row })) {
        if (piece instanceof Uint8Array) firstByte += piece.byteLength;
        if (firstByte > limits.decompressedBytes)
          throw new WaybillError('DecompressedTooLarge', {
            publicDetail: `Its rows have more than ${limits.decompressedBytes} bytes of JSON, the limit decompressedBytes of the pipeline.`,
          });
        yield piece;
      }
      firstRecord += rows.length;
      row = rowEnd;
    }
  }
}

const tooLarge = 'a row group has more than 1 GiB. Write smaller row groups';

async function readMetadata(file: RandomAccess): Promise<FileMetaData> {
  const tail = await readRange(file, file.sizeBytes - 8, file.sizeBytes);
  if (new DataView(tail).getUint32(0, true) > footerBytesMax) throw new Unreadable('its footer is too large');
  return parquetMetadataAsync(bufferOf(file));
}

/** The bytes of a row group, its pages checked. */
async function loadGroup(
  file: RandomAccess,
  group: FileMetaData['row_groups'][number],
  isFlat: boolean,
): Promise<AsyncBuffer> {
  if (group.columns.length === 0) throw new Unreadable('it has no columns');
  const { start, end } = rangeOf(group, file.sizeBytes);
  if (end - start > rowGroupBytesMax) throw mismatch(tooLarge);
  const bytes = new Uint8Array(end - start);
  for (let at = start; at < end; at += readBytes)
    bytes.set(new Uint8Array(await readRange(file, at, Math.min(end, at + readBytes))), at - start);
  checkPages(group, bytes, start, isFlat);
  return {
    byteLength: file.sizeBytes,
    slice: (from: number, to: number = file.sizeBytes) => bytes.slice(from - start, to - start).buffer,
  };
}

function bufferOf(file: RandomAccess): AsyncBuffer {
  return {
    byteLength: file.sizeBytes,
    slice: (start: number, end: number = file.sizeBytes) => readRange(file, start, end),
  };
}

/** The library makes objects of rows, in which a column of such a name would be lost. */
function wrongNames({ children }: SchemaTree): string | undefined {
  const names = children.map(({ element }) => element.name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) return `the column ${JSON.stringify(twice.slice(0, 64))} is there twice`;
  if (names.includes('__proto__')) return 'a column is named __proto__';
  return children.map(wrongNames).find(Boolean);
}

export type FilePiece = ReturnType<FileLayout['cut']> extends AsyncIterable<infer P> ? P : never;
type Pieces = Generator<FilePiece>;

/** Lines of JSON, and after those of each batch its description. A row that is too large is a batch of its own. */
function* batchesOf(
  rows: readonly Record<string, unknown>[],
  converts: ReadonlyMap<string, Convert>,
  limits: Limits,
  first: { firstByte: number; firstRecord: number; rowGroup: number; row: number },
): Pieces {
  let lines: string[] = [];
  let sizeBytes = 0;
  let { firstByte, firstRecord, row } = first;
  function* close(refused?: 'RecordTooLarge'): Pieces {
    if (lines.length === 0) return;
    yield Buffer.from(lines.join(''));
    const records = lines.length;
    const place = { firstByte, firstRecord, firstLine: row, rowGroup: first.rowGroup };
    yield { ...place, records, ...(refused && { refused }) };
    firstByte += sizeBytes;
    firstRecord += records;
    row += records;
    lines = [];
    sizeBytes = 0;
  }
  for (const values of rows) {
    const line = `${writeRow(values, converts)}\n`;
    const lineBytes = Buffer.byteLength(line);
    const tooLarge = lineBytes - 1 > limits.recordBytes;
    if (tooLarge) yield* close();
    lines.push(line);
    sizeBytes += lineBytes;
    if (tooLarge) yield* close('RecordTooLarge');
    else if (sizeBytes >= limits.batchBytes || lines.length >= limits.batchRecords) yield* close();
  }
  yield* close();
}

async function readRange(file: RandomAccess, start: number, end: number): Promise<ArrayBuffer> {
  const first = Math.max(0, start);
  const bytes = await file.read(first, Math.max(0, Math.min(end, file.sizeBytes) - first));
  return new Uint8Array(bytes).buffer;
}

function options(metadata: FileMetaData) {
  const keepsText = (bytes: Uint8Array) => bytes;
  return {
    metadata,
    compressors: pageCompressors,
    geoparquet: false,
    // Bytes without a type stay bytes, and text is checked by `writeRow`.
    utf8: false,
    parsers: {
      stringFromBytes: keepsText,
      jsonFromBytes: keepsText,
      timestampFromNanoseconds: (nanos: bigint) => nanos,
    },
  };
}

async function attempt<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asMismatch(what, error);
  }
}

function asMismatch(what: string, error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  const why = error instanceof Unreadable ? `${what}: ${error.message}` : what;
  return new WaybillError('FormatMismatch', {
    publicDetail: `The data is not readable Parquet: ${why}.`,
    detail: error instanceof Error ? error.message : String(error),
    cause: error,
  });
}

function mismatch(what: string): WaybillError {
  return new WaybillError('FormatMismatch', { publicDetail: `The data is not readable Parquet: ${what}.` });
}
