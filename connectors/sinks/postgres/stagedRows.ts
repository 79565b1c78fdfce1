import type { ClientBase } from 'pg';
import type { RowOutcome, SinkRun } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { StagedRows, StagedRun } from '../../../domain/ports/ledger.ts';
import { sql } from '../../../domain/sql.ts';
import { bringRows, clearRows } from './incomingRows.ts';
import { incomingOf, quoted, rowOf, sameKey } from './sinkColumns.ts';
import { countsOf, paramsOf, type UpsertRow, upsertFrom } from './upsertRows.ts';

/**
 * The rows of a run in a temporary table of the transaction: no other session sees it, it is not written ahead, and it goes with the
 * transaction. Of rows with one key the one that comes last in the source is left, so that what becomes of a run does not depend on
 * where its batches were cut.
 */
const table = 'pg_temp.waybill_staged';

export async function stageRows<Batch extends StagedRows>(
  client: ClientBase,
  { sink, batches }: Pick<StagedRun<Batch>, 'sink' | 'batches'>,
  onBatch: (batch: Batch) => Promise<void> | void,
): Promise<void> {
  const columns = incomingOf(sink);
  await client.query(`
    CREATE TEMP TABLE waybill_staged (${columns.map(({ name, type }) => `${name} ${type}`).join(', ')},
      _seq integer NOT NULL, PRIMARY KEY (${ownKeyOf(sink).join(', ')})) ON COMMIT DROP`);
  for await (const batch of batches()) {
    await onBatch(batch);
    if (batch.rows.emitted === 0) continue;
    const incoming = await bringRows(client, sink, batch.rows);
    await client.query(sql(stagingSql(sink, incoming.from), { seq: batch.seq, ...incoming.params }));
    await clearRows(client, incoming);
  }
  // Autovacuum does not see a temporary table, and without statistics the join is planned blindly.
  await client.query(`ANALYZE ${table}`);
}

/** Compares as `upsertFrom` does; rows that a later run has written stay as they are. */
export async function compareStaged(
  client: ClientBase,
  { tenant, order, sink }: SinkRun,
): Promise<RowOutcome[]> {
  const same = `${rowOf(sink, 't')} IS NOT DISTINCT FROM ${rowOf(sink, 's')}`;
  const earlier = 't._order < :order::bigint';
  const text = `
    SELECT s._seq AS seq, count(*) FILTER (WHERE t._tenant IS NULL)::float8 AS added,
           count(*) FILTER (WHERE ${earlier} AND NOT ${same})::float8 AS changed,
           count(*) FILTER (WHERE ${earlier} AND ${same})::float8 AS unchanged
      FROM ${table} s LEFT JOIN public.${quoted(sink.table)} t
        ON t._tenant = :tenant AND ${sameKey(sink, 't', 's')}
     GROUP BY s._seq ORDER BY s._seq`;
  const { rows } = await client.query<RowOutcome>(sql(text, { tenant, order }));
  return rows;
}

export async function publishStaged(
  client: ClientBase,
  run: SinkRun,
): Promise<{ stored: number; wrote: boolean }> {
  const names = incomingOf(run.sink).map(({ name }) => name);
  const text = upsertFrom(run.sink, `(SELECT ${names.join(', ')} FROM ${table})`);
  const { rows } = await client.query<UpsertRow>(sql(text, paramsOf(run)));
  const { inserted, replaced, again, same } = countsOf(rows[0]!);
  return { stored: inserted + replaced, wrote: inserted + replaced + again + same > 0 };
}

function stagingSql(sink: SinkManifest, rows: string): string {
  const columns = incomingOf(sink);
  const names = columns.map(({ name }) => name);
  const replaced = [...columns.filter(({ inKey }) => !inKey).map(({ name }) => name), '_seq'];
  return `
    INSERT INTO ${table} (_seq, ${names.join(', ')})
    SELECT :seq::integer, ${names.join(', ')} FROM ${rows} AS i (${names.join(', ')})
    ON CONFLICT (${ownKeyOf(sink).join(', ')}) DO UPDATE SET ${replaced.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
}

/** The key within the tenant. */
function ownKeyOf(sink: SinkManifest): string[] {
  return incomingOf(sink).flatMap(({ name, inKey }) => (inKey ? [name] : []));
}
