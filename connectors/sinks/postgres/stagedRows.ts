import type { ClientBase } from 'pg';
import type { RowOutcome } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { StagedRows, StagedRun } from '../../../domain/ports/ledger.ts';
import { arraysOf } from './encodedRows.ts';
import { keyOf, quoted } from './sinkColumns.ts';
import { incomingOf, upsertFrom } from './upsertRows.ts';

/**
 * The rows of a run in a table of the transaction’s own, which nobody else sees, is not written ahead and goes with the
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
  const text = stagingSql(sink);
  for await (const batch of batches()) {
    await onBatch(batch);
    if (batch.rows.count > 0) await client.query(text, [batch.seq, ...arraysOf(batch.rows)]);
  }
  // Nobody does it for a table of a transaction, and without it the join is planned blindly.
  await client.query(`ANALYZE ${table}`);
}

/** What publishing would do now, by batches, and the version of the table: both as of one moment. */
export async function previewChanges(
  client: ClientBase,
  { tenant, runId, sink }: Pick<StagedRun, 'tenant' | 'runId' | 'sink'>,
): Promise<{ outcomes: RowOutcome[]; baseVersion: number }> {
  const { rows } = await client.query<{ outcomes: RowOutcome[]; version: number }>(previewSql(sink), [
    tenant,
    runId,
    sink.table,
  ]);
  return { outcomes: rows[0]!.outcomes, baseVersion: rows[0]!.version };
}

/** Brings the staged rows into the table of the sink. Resolves with how many of them were new or replaced another. */
export async function upsertStaged(
  client: ClientBase,
  { tenant, runId, sink }: Pick<StagedRun, 'tenant' | 'runId' | 'sink'>,
): Promise<{ stored: number; wrote: boolean }> {
  const names = incomingOf(sink).map(({ name }) => name);
  const { rows } = await client.query<Record<'inserted' | 'replaced' | 'again' | 'same', string>>(
    upsertFrom(sink, `(SELECT ${names.join(', ')} FROM ${table})`),
    [tenant, runId],
  );
  const [inserted, replaced, again, same] = Object.values(rows[0]!).map(Number) as [
    number,
    number,
    number,
    number,
  ];
  return { stored: inserted + replaced, wrote: inserted + replaced + again + same > 0 };
}

function stagingSql(sink: SinkManifest): string {
  const columns = incomingOf(sink);
  const names = columns.map(({ name }) => name);
  const key = ownKeyOf(sink);
  const replaced = [...names.filter((name) => !key.includes(name)), '_seq'];
  return `
    INSERT INTO ${table} (_seq, ${names.join(', ')})
    SELECT $1::integer, ${names.join(', ')}
      FROM unnest(${columns.map(({ type }, i) => `$${i + 2}::${type}[]`).join(', ')}) AS i (${names.join(', ')})
    ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${replaced.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
}

/** Compares as `upsertFrom` does; rows that a later run has written stay as they are. */
function previewSql(sink: SinkManifest): string {
  const all = (alias: string) => `ROW(${sink.columns.map((c) => `${alias}.${quoted(c.name)}`).join(', ')})`;
  const same = `${all('t')} IS NOT DISTINCT FROM ${all('s')}`;
  const earlier = `right(t._run, 36) COLLATE "C" < right($2, 36) COLLATE "C"`;
  return `
    WITH outcome AS (
      SELECT s._seq AS seq, count(*) FILTER (WHERE t._tenant IS NULL) AS added,
             count(*) FILTER (WHERE ${earlier} AND NOT ${same}) AS changed,
             count(*) FILTER (WHERE ${earlier} AND ${same}) AS unchanged
        FROM ${table} s LEFT JOIN public.${quoted(sink.table)} t
          ON t._tenant = $1 AND ${ownKeyOf(sink)
            .map((name) => `t.${name} = s.${name}`)
            .join(' AND ')}
       GROUP BY s._seq
    )
    SELECT coalesce((SELECT version FROM waybill.sink_version WHERE tenant = $1 AND table_name = $3), 0)::float8 AS version,
           coalesce((SELECT jsonb_agg(to_jsonb(outcome) ORDER BY seq) FROM outcome), '[]') AS outcomes`;
}

/** The key within the tenant. */
function ownKeyOf(sink: SinkManifest): string[] {
  return keyOf(sink)
    .filter((name) => name !== '_tenant')
    .map(quoted);
}
