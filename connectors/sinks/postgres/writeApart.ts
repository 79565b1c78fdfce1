import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite } from '../../../domain/connectors/sinkKind.ts';
import type { EncodedRows, RejectedRecord } from '../../../domain/ports/sinkRows.ts';
import { type RecordRejection, rejections } from '../../../domain/runs/rejection.ts';
import { appendRows } from './appendRows.ts';
import { upsertRows } from './upsertRows.ts';

/** @param moreFollow other rows of the batch are written in the same transaction */
export function writeRows(client: ClientBase, batch: RowsToWrite, moreFollow = false): Promise<RowCounts> {
  const write = batch.sink.mode === 'append' ? appendRows : upsertRows;
  return write(client, batch, moreFollow);
}

/** So many records of a batch may be left out one by one. More of them are a fault of the pipeline or of the table. */
const rejectedMax = 100;

/**
 * Writes the rows of a batch without the records that the database rejects: by a constraint, an index or a trigger that was added to
 * the table, or with the columns that another pipeline has filled. Halves what fails until one record is left; none of its rows is
 * written, to whichever output. Throws what the database says of the last record where more than 100 are rejected.
 */
export async function writeApart(
  client: ClientBase,
  batches: readonly RowsToWrite[],
): Promise<{ counts: RowCounts[]; rejected: RejectedRecord[] }> {
  const outputs: HeldRows[] = [];
  for (const batch of batches) outputs.push(await holdRows(batch));
  const positions = [...new Set(outputs.flatMap(({ records }) => records.map(({ position }) => position)))];
  positions.sort((a, b) => a - b);
  const rejected: RejectedRecord[] = [];

  /** The records of these places among the positions. */
  async function write(from: number, to: number): Promise<void> {
    const pieces = outputs.map((output) => pieceOf(output, positions[from]!, positions[to - 1]!));
    await client.query('SAVEPOINT apart');
    try {
      const counts: RowCounts[] = [];
      for (const [i, rows] of pieces.entries())
        counts.push(await writeRows(client, { ...batches[i]!, rows }, true));
      await client.query('RELEASE SAVEPOINT apart');
      for (const [i, output] of outputs.entries()) add(output.counts, counts[i]!);
    } catch (error) {
      const reason = reasonOf(error);
      if (!reason || (to - from === 1 && rejected.length === rejectedMax)) throw error;
      await client.query('ROLLBACK TO SAVEPOINT apart; RELEASE SAVEPOINT apart');
      if (to - from === 1) {
        const rows = pieces.reduce((sum, { emitted }) => sum + emitted, 0);
        rejected.push({ position: positions[from]!, rows, reason });
        return;
      }
      const middle = (from + to) >> 1;
      await write(from, middle);
      await write(middle, to);
    }
  }

  if (positions.length > 0) await write(0, positions.length);
  return { counts: outputs.map(({ counts }) => counts), rejected };
}

interface HeldRows {
  bytes: Buffer;
  records: EncodedRecord[];
  counts: RowCounts;
}

async function holdRows({ rows }: RowsToWrite): Promise<HeldRows> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of rows.chunks()) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const records = recordsOf(bytes);
  // Those that a later row of the batch replaced before they were encoded.
  const deduplicated = rows.emitted - records.reduce((sum, record) => sum + record.rows, 0);
  return { bytes, records, counts: { stored: 0, unchanged: 0, deduplicated, wrote: false } };
}

/** The rows of the records from one position to another. */
function pieceOf({ bytes, records }: HeldRows, first: number, last: number): EncodedRows {
  const own = records.filter(({ position }) => position >= first && position <= last);
  const piece = own.length === 0 ? bytes.subarray(0, 0) : bytes.subarray(own[0]!.start, own.at(-1)!.end);
  const emitted = own.reduce((sum, { rows }) => sum + rows, 0);
  return { emitted, sizeBytes: piece.length, chunks: () => once(piece) };
}

function add(sum: RowCounts, { wrote, ...counts }: RowCounts): void {
  for (const name of ['stored', 'unchanged', 'deduplicated'] as const) sum[name] += counts[name];
  sum.wrote ||= wrote;
}

interface EncodedRecord {
  position: number;
  start: number;
  end: number;
  rows: number;
}

/** The position is the last column of a row, and the rows of a record follow one another. */
function recordsOf(bytes: Buffer): EncodedRecord[] {
  const records: EncodedRecord[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start) + 1;
    const position = Number(bytes.toString('latin1', bytes.lastIndexOf(0x09, end - 1) + 1, end - 1));
    const last = records.at(-1);
    if (last?.position === position) {
      last.end = end;
      last.rows++;
    } else records.push({ position, start, end, rows: 1 });
    start = end;
  }
  return records;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Names of the table and its parts only: the text of an error may repeat a value. `undefined`: no row is to blame. */
function reasonOf(error: unknown): RecordRejection | undefined {
  const { code, severity, message = '', constraint, column } = error as Partial<Record<string, string>>;
  if (!severity || !code || !/^(22|23|44|54|P0001)/.test(code)) return undefined;
  const path = column ?? '';
  if (code.startsWith('54')) {
    const name = message.startsWith('index row') ? 'KeyTooLarge' : 'RowTooLarge';
    return { code: name, path, message: rejections[name] };
  }
  const place = constraint ? `, constraint ${constraint}` : '';
  return { code: 'RowRejected', path, message: `${rejections.RowRejected} SQLSTATE ${code}${place}.` };
}
