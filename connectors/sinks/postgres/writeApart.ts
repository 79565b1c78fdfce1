import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite } from '../../../domain/connectors/sinkKind.ts';
import type { RejectedRecord } from '../../../domain/ports/sinkRows.ts';
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
 * the table, or with the columns that another pipeline has filled. Halves what fails until one record is left. Throws what the
 * database says of the last record where more than 100 are rejected.
 */
export async function writeApart(
  client: ClientBase,
  batch: RowsToWrite,
): Promise<RowCounts & { rejected: RejectedRecord[] }> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of batch.rows.chunks()) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const records = recordsOf(bytes);
  const rejected: RejectedRecord[] = [];
  const sum = { stored: 0, unchanged: 0, deduplicated: 0, wrote: false };

  async function write(from: number, to: number): Promise<void> {
    const piece = bytes.subarray(records[from]!.start, records[to - 1]!.end);
    const emitted = records.slice(from, to).reduce((rows, record) => rows + record.rows, 0);
    const rows = { emitted, sizeBytes: piece.length, chunks: () => once(piece) };
    await client.query('SAVEPOINT apart');
    try {
      add(await writeRows(client, { ...batch, rows }, true));
      await client.query('RELEASE SAVEPOINT apart');
    } catch (error) {
      const reason = reasonOf(error);
      if (!reason || (to - from === 1 && rejected.length === rejectedMax)) throw error;
      await client.query('ROLLBACK TO SAVEPOINT apart; RELEASE SAVEPOINT apart');
      if (to - from === 1) {
        rejected.push({ position: records[from]!.position, rows: emitted, reason });
        return;
      }
      const middle = (from + to) >> 1;
      await write(from, middle);
      await write(middle, to);
    }
  }
  function add({ wrote, ...counts }: RowCounts): void {
    for (const name of ['stored', 'unchanged', 'deduplicated'] as const) sum[name] += counts[name];
    sum.wrote ||= wrote;
  }

  if (records.length > 0) await write(0, records.length);
  // Those that a later row of the batch replaced before they were encoded.
  sum.deduplicated += batch.rows.emitted - records.reduce((rows, record) => rows + record.rows, 0);
  return { ...sum, rejected };
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
