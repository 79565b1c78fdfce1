import type { ClientBase } from 'pg';
import type { RowCounts, RowsToWrite, SinkRun } from '../../../domain/connectors/sinkKind.ts';
import { sql } from '../../../domain/sql.ts';
import { bringRows, clearRows } from './incomingRows.ts';
import { ensurePartitions } from './partitions.ts';
import { incomingOf, quoted } from './sinkColumns.ts';

/** Adds the rows of a batch to the table. The ledger of the caller’s transaction sees to it that it happens once. */
export async function appendRows(
  client: ClientBase,
  batch: RowsToWrite,
  moreFollow = false,
): Promise<RowCounts> {
  if (batch.rows.emitted === 0) return { stored: 0, unchanged: 0, deduplicated: 0, wrote: false };
  const incoming = await bringRows(client, batch.sink, batch.rows);
  await ensurePartitions(client, batch.sink, incoming.from, incoming.params);
  const stored = await insertRows(client, batch, incoming.from, incoming.params);
  if (moreFollow) await clearRows(client, incoming);
  return { stored, unchanged: 0, deduplicated: 0, wrote: true };
}

/** @param rows SQL for rows with the columns of `incomingOf` */
export async function insertRows(
  client: ClientBase,
  { tenant, runId, order, sink }: Omit<SinkRun, 'earlierOpen'>,
  rows: string,
  params: Record<string, string> = {},
): Promise<number> {
  const names = incomingOf(sink)
    .map(({ name }) => name)
    .join(', ');
  const { rowCount } = await client.query(
    sql(
      `INSERT INTO public.${quoted(sink.table)} (_tenant, ${names}, _run, _order)
       SELECT :tenant::text, ${names}, :run::text, :order::bigint FROM ${rows} AS i (${names})`,
      { tenant, run: runId, order, ...params },
    ),
  );
  return rowCount ?? 0;
}
