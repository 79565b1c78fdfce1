import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite, SinkRun } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { sql } from '../../../domain/sql.ts';
import { arrayLiteral, bringRows, clearRows, type Incoming } from './incomingRows.ts';
import { ensurePartitions } from './partitions.ts';
import { incomingOf, keyOf, quoted, rowOf, sameKey } from './sinkColumns.ts';

/**
 * Brings the rows of a batch into the table and says what became of each:
 *
 * - no row of that key, or one of an earlier run that differs: `stored`;
 * - one of an earlier run that is equal: `unchanged`, and not written;
 * - one of this run, or of a later one: `deduplicated` (a later place of this run replaces the values).
 *
 * So the sum over a run does not depend on where its batches were cut. Runs in the caller’s transaction, which
 * holds the lock of tenant and table.
 * @param moreFollow other rows of the batch are written in the same transaction
 */
export async function upsertRows(
  client: ClientBase,
  batch: RowsToWrite,
  moreFollow = false,
): Promise<RowCounts> {
  const { emitted } = batch.rows;
  if (emitted === 0) return { stored: 0, unchanged: 0, deduplicated: 0, wrote: false };
  const incoming = await bringRows(client, batch.sink, batch.rows);
  await ensurePartitions(client, batch.sink, incoming.from, incoming.params);
  const known = await findKnown(client, batch, incoming);
  const fresh = known ? await insertNew(client, batch, incoming, known) : 0;
  const rest = known ? onlyKnown(batch.sink, incoming, known) : incoming;
  const equal = known ? 0 : await dropEqual(client, batch, incoming);
  const { inserted, replaced, again, same } = await upsert(client, batch, rest);
  const left = rest.count - equal - inserted - replaced - again - same;
  const unchanged = equal + same + (left > 0 ? await countUnchanged(client, batch, rest) : 0);
  if (moreFollow) await clearRows(client, incoming);
  const stored = fresh + inserted + replaced;
  const wrote = stored + again + same > 0;
  return { stored, unchanged, deduplicated: emitted - stored - unchanged, wrote };
}

/**
 * Which rows have a key that the table has, as places in the table of this transaction; `undefined` where they are many, or the rows are
 * in no table. The others are inserted without `ON CONFLICT`, which costs nearly twice as much: it looks up each key twice and
 * writes one more entry to the log. The locks of the batch keep other stores from inserting one of them in between.
 */
async function findKnown(
  client: ClientBase,
  { tenant, sink }: RowsToWrite,
  { from, isTable, count }: Incoming,
): Promise<string[] | undefined> {
  if (!isTable) return undefined;
  // A scalar subquery: whatever the planner believes, it looks up each key by the index.
  const hasKey = `(SELECT true FROM public.${quoted(sink.table)} t WHERE t._tenant = :tenant AND ${sameKey(sink, 't', 'i')})`;
  /** `undefined` for more than `max`. */
  async function find(rows: string, max: number): Promise<string[] | undefined> {
    const text = `SELECT i.ctid::text AS at FROM ${rows} i WHERE ${hasKey} LIMIT ${max + 1}`;
    const found = await client.query<{ at: string }>(sql(text, { tenant }));
    return found.rows.length > max ? undefined : found.rows.map(({ at }) => at);
  }
  const sample = await find(`(SELECT ctid, * FROM ${from} LIMIT 20)`, 0);
  return sample && find(from, Math.ceil(count / 10));
}

async function insertNew(
  client: ClientBase,
  { tenant, runId, order, sink }: RowsToWrite,
  { from }: Incoming,
  known: readonly string[],
): Promise<number> {
  const names = incomingOf(sink)
    .map(({ name }) => name)
    .join(', ');
  const inserted = await client.query(
    sql(
      `INSERT INTO public.${quoted(sink.table)} (_tenant, ${names}, _run, _order)
       SELECT :tenant::text, ${names}, :run::text, :order::bigint FROM ${from} WHERE ctid <> ALL (:known::tid[])`,
      { tenant, run: runId, order, known: arrayLiteral(known) },
    ),
  );
  return inserted.rowCount ?? 0;
}

function onlyKnown(sink: SinkManifest, { from, isTable }: Incoming, known: readonly string[]): Incoming {
  const names = incomingOf(sink).map(({ name }) => name);
  return {
    count: known.length,
    from: `(SELECT ${names.join(', ')} FROM ${from} WHERE ctid = ANY (:known::tid[]))`,
    params: { known: arrayLiteral(known) },
    isTable,
  };
}

async function upsert(
  client: ClientBase,
  batch: RowsToWrite,
  { count, from, params }: Incoming,
): Promise<ReturnType<typeof countsOf>> {
  if (count === 0) return { inserted: 0, replaced: 0, again: 0, same: 0 };
  const { text, name } = statement(batch.sink, from, upsertFrom);
  const { rows } = await client.query<UpsertRow>(sql(text, { ...paramsOf(batch), ...params }, name));
  return countsOf(rows[0]!);
}

/**
 * Where many rows have a key that the table has, as when an input is loaded again: takes out those that are equal. `ON CONFLICT` would
 * lock each of them, which writes the page and the log. Returns how many.
 */
async function dropEqual(
  client: ClientBase,
  { tenant, order, sink, earlierOpen }: RowsToWrite,
  { from, isTable }: Incoming,
): Promise<number> {
  if (!isTable || earlierOpen) return 0;
  const same = `t._tenant = :tenant AND ${sameKey(sink, 't', 'i')} AND t._order < :order::bigint`;
  // A scalar subquery, as above.
  const dropped = await client.query(
    sql(
      `DELETE FROM ${from} i
       WHERE (SELECT ${rowOf(sink, 't')} IS NOT DISTINCT FROM ${rowOf(sink, 'i')} FROM public.${quoted(sink.table)} t WHERE ${same})`,
      { tenant, order },
    ),
  );
  return dropped.rowCount ?? 0;
}

export interface UpsertRow {
  inserted: string;
  replaced: string;
  again: string;
  same: string;
}

export function countsOf({ inserted, replaced, again, same }: UpsertRow) {
  return {
    inserted: Number(inserted),
    replaced: Number(replaced),
    again: Number(again),
    same: Number(same),
  };
}

/** The parameters of `upsertFrom` beside the rows. */
export function paramsOf({ tenant, runId, order, earlierOpen }: SinkRun) {
  return { tenant, run: runId, order, earlierOpen };
}

/** Of the rows that were not written: what still comes from an earlier run must be equal, or it would be written. */
async function countUnchanged(
  client: ClientBase,
  { tenant, order, sink }: RowsToWrite,
  { from, params }: Incoming,
): Promise<number> {
  const { text, name } = statement(sink, from, unchangedSql);
  const { rows } = await client.query<{ unchanged: string }>(sql(text, { tenant, order, ...params }, name));
  return Number(rows[0]!.unchanged);
}

/**
 * `rows` is SQL for the rows on their way, no two of one key. An equal row keeps its origin, unless an earlier run of the tenant is
 * still open on that table: then its origin is moved on, for otherwise that run, storing late, would take the row for older than
 * itself and overwrite it.
 */
export function upsertFrom(sink: SinkManifest, rows: string): string {
  const incoming = incomingOf(sink);
  const names = incoming.map(({ name }) => name);
  const all = (alias: string) => rowOf(sink, alias);
  const updated = [...incoming.filter(({ inKey }) => !inKey).map(({ name }) => name), '_run', '_order'];
  return `
    WITH written AS (
      INSERT INTO public.${quoted(sink.table)} AS t (_tenant, ${names.join(', ')}, _run, _order)
      SELECT :tenant::text, ${names.join(', ')}, :run::text, :order::bigint
        FROM ${rows} AS i (${names.join(', ')})
      ON CONFLICT (${keyOf(sink).map(quoted).join(', ')}) DO UPDATE
         SET ${updated.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}
       WHERE (t._order, t._position) < (:order::bigint, EXCLUDED._position)
         AND (${all('t')} IS DISTINCT FROM ${all('EXCLUDED')} OR (t._run <> :run::text AND :earlierOpen::boolean))
      RETURNING old._run AS before, ${all('old')} IS NOT DISTINCT FROM ${all('new')} AS same
    )
    SELECT count(*) FILTER (WHERE before IS NULL) AS inserted,
           count(*) FILTER (WHERE before <> :run::text AND NOT same) AS replaced,
           count(*) FILTER (WHERE before = :run::text) AS again,
           count(*) FILTER (WHERE before <> :run::text AND same) AS same
      FROM written`;
}

function unchangedSql(sink: SinkManifest, rows: string): string {
  const names = incomingOf(sink).map(({ name }) => name);
  return `
    SELECT count(*) AS unchanged
      FROM ${rows} AS i (${names.join(', ')})
      JOIN public.${quoted(sink.table)} AS t ON t._tenant = :tenant AND ${sameKey(sink, 't', 'i')}
     WHERE t._order < :order::bigint`;
}

/** Statements are prepared once a connection, by a name that equal text shares. Bounded by the sinks of the project. */
const prepared = new WeakMap<SinkManifest, Map<string, Statement>>();

type Statement = { text: string; name: string };

function statement(
  sink: SinkManifest,
  from: string,
  build: (sink: SinkManifest, rows: string) => string,
): Statement {
  const known = prepared.get(sink) ?? new Map<string, Statement>();
  prepared.set(sink, known);
  const found = known.get(`${build.name} ${from}`);
  if (found) return found;
  const text = build(sink, from);
  const made = { text, name: `sink-${createHash('sha256').update(text).digest('hex').slice(0, 32)}` };
  known.set(`${build.name} ${from}`, made);
  return made;
}
