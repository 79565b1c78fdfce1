import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ClientBase } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { EncodedRows } from '../../../domain/ports/sinkRows.ts';
import { readCopyText } from './copyText.ts';
import { incomingOf } from './sinkColumns.ts';

/** The rows of a batch where a statement can read them. */
export interface Incoming {
  count: number;
  /** SQL that yields the columns of `incomingOf`, for a `FROM` clause. */
  from: string;
  /** The parameters of `from`. */
  params: Record<string, string>;
  /** Whether `from` is a table of this transaction. */
  isTable: boolean;
}

/** Up to this size, arrays in the statement itself save the round trips of `COPY`. */
export const arraysBytesMax = 64 * 1024;

/** Brings encoded rows to the server, for the rest of the caller’s transaction. */
export async function bringRows(
  client: ClientBase,
  sink: SinkManifest,
  rows: EncodedRows,
): Promise<Incoming> {
  if (rows.sizeBytes > arraysBytesMax) return copyRows(client, sink, rows);
  const pieces: Uint8Array[] = [];
  for await (const chunk of rows.chunks()) pieces.push(chunk);
  const texts = readCopyText(Buffer.concat(pieces));
  const columns = incomingOf(sink);
  const params = columns.map((_, i) => [`column${i}`, arrayLiteral(texts.map((row) => row[i]!))]);
  const from = `unnest(${columns.map(({ type }, i) => `:column${i}::${type}[]`).join(', ')})`;
  return { count: texts.length, from, params: Object.fromEntries(params), isTable: false };
}

/**
 * `COPY` does not pass row-level security, so that the rows go by way of a temporary table, which no other session sees and
 * which is empty at the end of each transaction. A connection keeps the table.
 */
async function copyRows(client: ClientBase, sink: SinkManifest, rows: EncodedRows): Promise<Incoming> {
  const columns = incomingOf(sink).map(({ name, type }) => `${name} ${type}`);
  const digest = createHash('sha256').update(columns.join()).digest('hex');
  const table = `waybill_rows_${digest.slice(0, 24)}`;
  await client.query(
    `CREATE TEMP TABLE IF NOT EXISTS ${table} (${columns.join(', ')}) ON COMMIT DELETE ROWS`,
  );
  const copy = client.query(copyFrom(`COPY pg_temp.${table} FROM STDIN`));
  await pipeline(Readable.from(rows.chunks(), { objectMode: false }), copy);
  return { count: copy.rowCount, from: `pg_temp.${table}`, params: {}, isTable: true };
}

/** Makes room for the next batch of the same transaction. */
export async function clearRows(client: ClientBase, { from, isTable }: Incoming): Promise<void> {
  if (isTable) await client.query(`TRUNCATE ${from}`);
}

/**
 * A PostgreSQL array literal of texts, to be cast to an array of the column’s type. Each text is quoted, so that
 * none is read as `NULL`, and quotes and backslashes are escaped; `null` is NULL.
 * Source: PostgreSQL 18, 8.15.6, https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO
 */
export function arrayLiteral(texts: readonly (string | null)[]): string {
  const elements = texts.map((text) => (text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`));
  return `{${elements.join()}}`;
}
