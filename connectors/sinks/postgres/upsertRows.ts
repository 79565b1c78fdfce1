import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite, SinkRun } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { EncodedRows } from '../../../domain/ports/sinkRows.ts';
import { sql } from '../../../domain/sql.ts';
import type { PostgresRows } from './encodedRows.ts';
import { incomingOf, keyOf, quoted } from './sinkColumns.ts';

/**
 * Brings the rows of a batch into the table and says what became of each:
 *
 * - no row of that key, or one of an earlier run that differs: `stored`;
 * - one of an earlier run that is equal: `unchanged`, and not written;
 * - one of this run, or of a later one: `deduplicated` (a later place of this run replaces the values).
 *
 * So the sum over a run does not depend on where its batches were cut. Runs in the caller’s transaction, which
 * holds the lock of tenant and table.
 */
export async function upsertRows(client: ClientBase, batch: RowsToWrite): Promise<RowCounts> {
  const { rows, sink } = batch;
  const { count, deduplicated } = rows;
  if (count === 0) return { stored: 0, unchanged: 0, deduplicated, wrote: false };
  const { text, name } = statement(sink, upsertSql);
  const params = { ...paramsOf(batch), ...arraysOf(rows) };
  const result = await client.query<UpsertRow>(sql(text, params, name));
  const { inserted, replaced, again, same } = countsOf(result.rows[0]!);
  const left = count - inserted - replaced - again - same;
  const unchanged = same + (left > 0 ? await countUnchanged(client, batch) : 0);
  const stored = inserted + replaced;
  const wrote = stored + again + same > 0;
  return { stored, unchanged, deduplicated: deduplicated + count - stored - unchanged, wrote };
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
  { tenant, order, sink, rows }: RowsToWrite,
): Promise<number> {
  const { text, name } = statement(sink, unchangedSql);
  const arrays = arraysOf(rows);
  const keys = Object.fromEntries(
    incomingOf(sink).flatMap((c, i) => (c.inKey ? [[param(i), arrays[param(i)]]] : [])),
  );
  const { rows: answer } = await client.query<{ unchanged: string }>(
    sql(text, { tenant, order, ...keys }, name),
  );
  return Number(answer[0]!.unchanged);
}

/** The arrays by their parameters, in the order of `incomingOf`. */
export function arraysOf(rows: EncodedRows): Record<string, string> {
  const { columns, digests, positions } = rows as PostgresRows;
  const arrays = [...columns, ...(digests === undefined ? [] : [digests]), positions];
  return Object.fromEntries(arrays.map((array, i) => [param(i), array]));
}

/** The rows on their way, as the columns of `incomingOf`. */
export function unnestSql(sink: SinkManifest): string {
  return `unnest(${incomingOf(sink)
    .map(({ type }, i) => `:${param(i)}::${type}[]`)
    .join(', ')})`;
}

function param(i: number): string {
  return `column${i}`;
}

function upsertSql(sink: SinkManifest): string {
  return upsertFrom(sink, unnestSql(sink));
}

/**
 * `rows` is SQL for the rows on their way, no two of one key. An equal row keeps its origin, unless an earlier run of the tenant is
 * still open on that table: then its origin is moved on, for otherwise that run, storing late, would take the row for older than
 * itself and overwrite it.
 */
export function upsertFrom(sink: SinkManifest, rows: string): string {
  const incoming = incomingOf(sink);
  const names = incoming.map(({ name }) => name);
  const payload = sink.columns.map(({ name }) => quoted(name));
  const all = (alias: string) => `ROW(${payload.map((name) => `${alias}.${name}`).join(', ')})`;
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

function unchangedSql(sink: SinkManifest): string {
  const key = incomingOf(sink).flatMap((c, i) =>
    c.inKey ? [{ ...c, array: `:${param(i)}::${c.type}[]` }] : [],
  );
  return `
    SELECT count(*) AS unchanged
      FROM unnest(${key.map(({ array }) => array).join(', ')}) AS i (${key.map(({ name }) => name).join(', ')})
      JOIN public.${quoted(sink.table)} AS t ON t._tenant = :tenant AND ${key.map(({ name }) => `t.${name} = i.${name}`).join(' AND ')}
     WHERE t._order < :order::bigint`;
}

/** Statements are prepared once a connection, by a name that equal text shares. Bounded by the sinks of the project. */
const prepared = new WeakMap<SinkManifest, Map<BuildSql, Statement>>();

type BuildSql = (sink: SinkManifest) => string;
type Statement = { text: string; name: string };

function statement(sink: SinkManifest, build: BuildSql): Statement {
  const known = prepared.get(sink) ?? new Map<BuildSql, Statement>();
  prepared.set(sink, known);
  const found = known.get(build);
  if (found) return found;
  const text = build(sink);
  const made = { text, name: `sink-${createHash('sha256').update(text).digest('hex').slice(0, 32)}` };
  known.set(build, made);
  return made;
}
