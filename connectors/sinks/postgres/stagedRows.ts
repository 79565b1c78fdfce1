import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type {
  PublishedRows,
  RowOutcome,
  SinkRun,
  StagedOutcome,
} from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { StagedRows } from '../../../domain/ports/ledger.ts';
import { sql } from '../../../domain/sql.ts';
import { insertRows } from './appendRows.ts';
import { bringRows, clearRows } from './incomingRows.ts';
import { ensurePartitions } from './partitions.ts';
import { incomingOf, quoted, rowOf, sameKey } from './sinkColumns.ts';
import { countsOf, paramsOf, type UpsertRow, upsertFrom } from './upsertRows.ts';

/**
 * The rows of a run in a temporary table of the transaction: no other session sees it, it is not written ahead, and it goes with the
 * transaction. Of rows with one key the one that comes last in the source is left, so that what becomes of a run does not depend on
 * where its batches were cut. Each table of several outputs has one.
 */
function stagedTable({ table }: SinkManifest): string {
  return `pg_temp.waybill_staged_${createHash('sha256').update(table).digest('hex').slice(0, 24)}`;
}

export async function beginStaging(client: ClientBase, sink: SinkManifest): Promise<void> {
  const columns = incomingOf(sink).map(({ name, type }) => `${name} ${type}`);
  const key = sink.key === undefined ? '' : `, PRIMARY KEY (${ownKeyOf(sink).join(', ')})`;
  await client.query(`
    CREATE TEMP TABLE ${stagedTable(sink)} (${columns.join(', ')}, _seq integer NOT NULL${key}) ON COMMIT DROP`);
}

export async function stageRows(
  client: ClientBase,
  sink: SinkManifest,
  { seq, rows }: StagedRows,
): Promise<void> {
  if (rows.emitted === 0) return;
  const incoming = await bringRows(client, sink, rows);
  await client.query(sql(stagingSql(sink, incoming.from), { seq, ...incoming.params }));
  await clearRows(client, incoming);
}

/** Autovacuum does not see a temporary table, and without statistics the join is planned blindly. */
export async function sealStaged(client: ClientBase, sink: SinkManifest): Promise<void> {
  await client.query(`ANALYZE ${stagedTable(sink)}`);
}

/**
 * Compares as `upsertFrom` does; rows that a later run has written stay as they are. Without a key all rows are new, and where they
 * replace the table, all that are there go.
 */
export async function compareStaged(client: ClientBase, run: SinkRun): Promise<StagedOutcome> {
  const batches =
    run.sink.key === undefined ? await countStaged(client, run) : await compareKeys(client, run);
  return run.sink.mode === 'replace' ? { batches, removed: await countRemoved(client, run) } : { batches };
}

async function compareKeys(client: ClientBase, { tenant, order, sink }: SinkRun): Promise<RowOutcome[]> {
  const same = `${rowOf(sink, 't')} IS NOT DISTINCT FROM ${rowOf(sink, 's')}`;
  const earlier = 't._order < :order::bigint';
  const text = `
    SELECT s._seq AS seq, count(*) FILTER (WHERE t._tenant IS NULL)::float8 AS added,
           count(*) FILTER (WHERE ${earlier} AND NOT ${same})::float8 AS changed,
           count(*) FILTER (WHERE ${earlier} AND ${same})::float8 AS unchanged
      FROM ${stagedTable(sink)} s LEFT JOIN public.${quoted(sink.table)} t
        ON t._tenant = :tenant AND ${sameKey(sink, 't', 's')}
     GROUP BY s._seq ORDER BY s._seq`;
  const { rows } = await client.query<RowOutcome>(sql(text, { tenant, order }));
  return rows;
}

async function countStaged(client: ClientBase, { sink }: SinkRun): Promise<RowOutcome[]> {
  const { rows } = await client.query<RowOutcome>(
    `SELECT _seq AS seq, count(*)::float8 AS added, 0 AS changed, 0 AS unchanged FROM ${stagedTable(sink)} GROUP BY 1 ORDER BY 1`,
  );
  return rows;
}

async function countRemoved(client: ClientBase, { tenant, sink }: SinkRun): Promise<number> {
  const { rows } = await client.query<{ removed: number }>(
    sql(`SELECT count(*)::float8 AS removed FROM public.${quoted(sink.table)} t WHERE ${isGone(sink)}`, {
      tenant,
    }),
  );
  return rows[0]!.removed;
}

/** SQL: the rows of the tenant that the staged ones do not keep. */
function isGone(sink: SinkManifest): string {
  const kept =
    sink.key === undefined
      ? ''
      : ` AND NOT EXISTS (SELECT FROM ${stagedTable(sink)} s WHERE ${sameKey(sink, 't', 's')})`;
  return `t._tenant = :tenant${kept}`;
}

/** In one transaction, so that a reader sees the rows before or those after. Rows that stay as they are are not written again. */
export async function publishStaged(client: ClientBase, run: SinkRun): Promise<PublishedRows> {
  const removed = run.sink.mode === 'replace' ? await removeGone(client, run) : 0;
  await ensurePartitions(client, run.sink, stagedColumns(run.sink));
  if (run.sink.key === undefined) {
    const stored = await insertRows(client, run, stagedColumns(run.sink));
    return { stored, removed, wrote: stored + removed > 0 };
  }
  const text = upsertFrom(run.sink, stagedColumns(run.sink));
  const { rows } = await client.query<UpsertRow>(sql(text, paramsOf(run)));
  const { inserted, replaced, again, same } = countsOf(rows[0]!);
  const stored = inserted + replaced;
  return { stored, removed, wrote: stored + removed + again + same > 0 };
}

async function removeGone(client: ClientBase, { tenant, sink }: SinkRun): Promise<number> {
  const { rowCount } = await client.query(
    sql(`DELETE FROM public.${quoted(sink.table)} t WHERE ${isGone(sink)}`, { tenant }),
  );
  return rowCount ?? 0;
}

/** SQL: the staged rows with the columns of `incomingOf`. */
function stagedColumns(sink: SinkManifest): string {
  return `(SELECT ${incomingOf(sink)
    .map(({ name }) => name)

    .join(', ')} FROM ${stagedTable(sink)})`;
}

function stagingSql(sink: SinkManifest, rows: string): string {
  const columns = incomingOf(sink);
  const names = columns.map(({ name }) => name);
  const replaced = [...columns.filter(({ inKey }) => !inKey).map(({ name }) => name), '_seq'];
  const insert = `
    INSERT INTO ${stagedTable(sink)} (_seq, ${names.join(', ')})
    SELECT :seq::integer, ${names.join(', ')} FROM ${rows} AS i (${names.join(', ')})`;
  if (sink.key === undefined) return insert;
  return `${insert}
    ON CONFLICT (${ownKeyOf(sink).join(', ')}) DO UPDATE SET ${replaced.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
}

/** The key within the tenant. */
function ownKeyOf(sink: SinkManifest): string[] {
  return incomingOf(sink).flatMap(({ name, inKey }) => (inKey ? [name] : []));
}
