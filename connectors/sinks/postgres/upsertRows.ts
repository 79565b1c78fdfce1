import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { arraysOf, type PostgresRows } from './encodedRows.ts';
import { keyColumns, keyOf, quoted } from './sinkColumns.ts';

/**
 * Brings the rows of a batch into the table and says what became of each. Of two rows with one key the later wins:
 * first by run (the UUIDv7 at the end of its id), then by place in the source.
 *
 * - no row of that key, or one of an earlier run that differs: `stored`;
 * - one of an earlier run that is equal: `unchanged`, and not written;
 * - one of this run, or of a later one: `deduplicated` (a later place of this run replaces the values).
 *
 * So the sum over a run does not depend on where its batches were cut. Runs in the caller’s transaction, which
 * holds the lock of tenant and table.
 */
export async function upsertRows(client: ClientBase, load: RowsToWrite): Promise<RowCounts> {
  const { rows, tenant, runId, sink } = load;
  const { count, deduplicated } = rows;
  if (count === 0) return { stored: 0, unchanged: 0, deduplicated, wrote: false };

  const { text, name } = statement(sink, upsertSql);
  const result = await client.query<{ inserted: string; replaced: string; again: string; same: string }>({
    name,
    text,
    values: [tenant, runId, ...arraysOf(rows)],
  });
  const [inserted, replaced, again, same] = Object.values(result.rows[0]!).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  const left = count - inserted - replaced - again - same;
  const unchanged = same + (left > 0 ? await countUnchanged(client, load) : 0);
  const stored = inserted + replaced;
  const wrote = stored + again + same > 0;
  return { stored, unchanged, deduplicated: deduplicated + count - stored - unchanged, wrote };
}

/** Of the rows that were not written: what still comes from an earlier run must be equal, or it would be written. */
async function countUnchanged(
  client: ClientBase,
  { tenant, runId, sink, rows }: RowsToWrite,
): Promise<number> {
  const { columns, digests } = rows as PostgresRows;
  const { text, name } = statement(sink, unchangedSql);
  const keys = !keyColumns(sink)
    ? [digests]
    : keyColumns(sink)!.map((key) => columns[sink.columns.findIndex((c) => c.name === key)]);
  const { rows: answer } = await client.query<{ unchanged: string }>({
    name,
    text,
    values: [tenant, runId, ...keys],
  });
  return Number(answer[0]!.unchanged);
}

/**
 * An equal row keeps its origin, unless an earlier run of the tenant is still open on that table: then its origin is
 * moved on, for otherwise that run, storing late, would take the row for older than itself and overwrite it.
 */
function upsertSql(sink: SinkManifest): string {
  return upsertFrom(
    sink,
    `unnest(${incomingOf(sink)
      .map((c, i) => `$${i + 3}::${c.type}[]`)
      .join(', ')})`,
  );
}

/** The columns of a row on its way, in the order of `EncodedRows`. */
export function incomingOf(sink: SinkManifest): { name: string; type: string }[] {
  const columns = sink.columns.map((c) => ({ name: quoted(c.name), type: c.type as string }));
  const digest = !keyColumns(sink) ? [{ name: '_digest', type: 'text' }] : [];
  return [...columns, ...digest, { name: '_position', type: 'bigint' }];
}

/** `rows` is SQL for the rows on their way, no two of one key; `$1` is the tenant and `$2` the run. */
export function upsertFrom(sink: SinkManifest, rows: string): string {
  const columns = sink.columns.map((c) => ({ name: quoted(c.name) }));
  const names = incomingOf(sink).map((c) => c.name);
  const key = keyOf(sink).map(quoted);
  const payload = columns.map((c) => c.name);
  const all = (alias: string) => `ROW(${payload.map((n) => `${alias}.${n}`).join(', ')})`;
  const updated = [...payload.filter((n) => !key.includes(n)), '_run', '_position'];
  return `
    WITH earlier AS MATERIALIZED (
      SELECT EXISTS (
        SELECT FROM waybill.run
         WHERE tenant = $1 AND ended_at IS NULL AND manifest -> 'sink' ->> 'table' = ${text(sink.table)}
           AND right(id, 36) COLLATE "C" < right($2, 36) COLLATE "C") AS open
    ), written AS (
      INSERT INTO public.${quoted(sink.table)} AS t (_tenant, ${names.join(', ')}, _run)
      SELECT $1::text, ${names.join(', ')}, $2::text
        FROM ${rows} AS i (${names.join(', ')})
      ON CONFLICT (${key.join(', ')}) DO UPDATE
         SET ${updated.map((n) => `${n} = EXCLUDED.${n}`).join(', ')}
       WHERE (right(t._run, 36) COLLATE "C", t._position) < (right($2, 36) COLLATE "C", EXCLUDED._position)
         AND (${all('t')} IS DISTINCT FROM ${all('EXCLUDED')}
              OR (t._run <> $2 AND (SELECT open FROM earlier)))
      RETURNING old._run AS before, ${all('old')} IS NOT DISTINCT FROM ${all('new')} AS same
    )
    SELECT count(*) FILTER (WHERE before IS NULL) AS inserted,
           count(*) FILTER (WHERE before <> $2 AND NOT same) AS replaced,
           count(*) FILTER (WHERE before = $2) AS again,
           count(*) FILTER (WHERE before <> $2 AND same) AS same
      FROM written`;
}

function unchangedSql(sink: SinkManifest): string {
  const key = !keyColumns(sink)
    ? [{ name: '_digest', type: 'text' }]
    : keyColumns(sink)!.map((name) => ({
        name: quoted(name),
        type: sink.columns.find((c) => c.name === name)!.type,
      }));
  return `
    SELECT count(*) AS unchanged
      FROM unnest(${key.map((c, i) => `$${i + 3}::${c.type}[]`).join(', ')}) AS i (${key.map((c) => c.name).join(', ')})
      JOIN public.${quoted(sink.table)} AS t ON t._tenant = $1 AND ${key.map((c) => `t.${c.name} = i.${c.name}`).join(' AND ')}
     WHERE right(t._run, 36) COLLATE "C" < right($2, 36) COLLATE "C"`;
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
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
  const sql = build(sink);
  const made = { text: sql, name: `sink-${createHash('sha256').update(sql).digest('hex').slice(0, 32)}` };
  known.set(build, made);
  return made;
}
