import { type FileMetaData, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import type { FileLayout, RandomAccess } from '../../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Limits } from '../../../domain/pipelines/manifest.ts';
import { type Convert, exactColumns } from './exactColumns.ts';
import { writeRow } from './writeRow.ts';

/** A row group is decoded as a whole; what is larger would take the memory of the process. */
const rowGroupBytesMax = 1024 * 1024 * 1024;

/**
 * Writes the rows of a file as lines of JSON, with each digit that they have, so that a batch needs nothing of the file and a
 * rejected row can be read by people. Holds one row group at a time. Throws `FormatMismatch`.
 */
export const cutParquet: FileLayout['cut'] = async function* (file, limits) {
  if (file.sizeBytes === 0) return;
  const buffer = {
    byteLength: file.sizeBytes,
    slice: (start: number, end: number = file.sizeBytes) => readRange(file, start, end),
  };
  const metadata = await attempt('it has no readable footer', () => parquetMetadataAsync(buffer));
  const converts = exactColumns(metadata, parquetSchema(metadata));
  let rowStart = 0;
  let firstByte = 0;
  for (const [rowGroup, group] of metadata.row_groups.entries()) {
    const rowEnd = rowStart + Number(group.num_rows);
    if (Number(group.total_byte_size) > rowGroupBytesMax)
      throw mismatch('a row group has more than 1 GiB. Write smaller row groups');
    const from = rowStart;
    const rows = await attempt(`rows ${from} to ${rowEnd} cannot be read`, () =>
      parquetReadObjects({ ...options(metadata), file: buffer, rowStart: from, rowEnd }),
    );
    if (rows.length !== rowEnd - rowStart) throw mismatch(`rows ${rowStart} to ${rowEnd} are not all there`);
    for (const piece of batchesOf(rows, converts, limits, { firstByte, firstRecord: rowStart, rowGroup })) {
      if (piece instanceof Uint8Array) firstByte += piece.byteLength;
      yield piece;
    }
    rowStart = rowEnd;
  }
};

type Pieces = ReturnType<FileLayout['cut']> extends AsyncIterable<infer Piece> ? Generator<Piece> : never;

/** Lines of JSON, and after those of each batch its description. A row that is too large is a batch of its own. */
function* batchesOf(
  rows: readonly Record<string, unknown>[],
  converts: ReadonlyMap<string, Convert>,
  limits: Limits,
  { firstByte, firstRecord, rowGroup }: { firstByte: number; firstRecord: number; rowGroup: number },
): Pieces {
  let lines: string[] = [];
  let sizeBytes = 0;
  let byte = firstByte;
  let row = 0;
  function* close(refused?: 'RecordTooLarge'): Pieces {
    if (lines.length === 0) return;
    yield Buffer.from(lines.join(''));
    const records = lines.length;
    const place = { firstByte: byte, firstRecord: firstRecord + row, firstLine: row, rowGroup };
    yield { ...place, records, ...(refused && { refused }) };
    byte += sizeBytes;
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
    compressors,
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
    if (error instanceof WaybillError) throw error;
    throw new WaybillError('FormatMismatch', {
      publicDetail: `The data is not readable Parquet: ${what}.`,
      detail: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
}

function mismatch(what: string): WaybillError {
  return new WaybillError('FormatMismatch', { publicDetail: `The data is not readable Parquet: ${what}.` });
}
