import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { SinkRun } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { tablesOf } from '../../../domain/pipelines/outputs.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import { sql } from '../../../domain/sql.ts';

type Storing = Pick<BatchToStore, 'tenant' | 'runId' | 'sink'>;

/**
 * Transactions that write to a table for a tenant take turns. A transaction that cannot get the lock, or has a client that
 * stalls, gives way within 30 s, since it holds up all the others.
 *
 * With `slots` it excludes the transactions of these slots and those without slots; others may write other slots. All take their
 * locks in one order, so that none waits in a circle.
 *
 * It also waits until the acceptances under way have ended: a run that was accepted before ours is then visible, and ours can tell
 * which of its rows such a run may still overwrite (`acceptingLock`).
 */
export async function beginTurn(
  client: ClientBase,
  { tenant, sink }: Omit<Storing, 'runId'>,
  slots?: readonly number[],
): Promise<void> {
  const locks = slots
    ? [
        `lock_shared(${lockOf(tenant, sink.table)})`,
        ...slots.map((slot) => `lock(${lockOf(tenant, `${sink.table} slot ${slot}`)})`),
      ]
    : tableLocks(tenant, sink).map((table) => `lock(${table})`);
  const waits = acceptingLocks(tenant, sink).map(
    (accepting) => `SELECT pg_advisory_lock(${accepting}); SELECT pg_advisory_unlock(${accepting})`,
  );
  // One round trip for what has no answer; the statements after it see what the holder of the lock before us did.
  await client.query(`
    SELECT set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '30s', true);
    ${locks.map((lock) => `SELECT pg_advisory_xact_${lock};`).join('\n')}
    ${waits.join(';\n')}`);
}

/**
 * Nothing is written before the last byte of the source is durable, whatever the workflow believes, nor once the end
 * of the run is recorded; until we commit, it cannot be recorded. Throws `RunEnded`, `UploadIncomplete`.
 */
export async function lockOpenRun(client: ClientBase, { tenant, runId, sink }: Storing): Promise<SinkRun> {
  const { rows } = await client.query<{ arrival: string; order: string; earlierOpen: boolean }>(
    sql(
      `SELECT r.arrival, r.accepted_order AS order, EXISTS (
         SELECT FROM waybill.run earlier
         WHERE earlier.tenant = r.tenant AND earlier.ended_at IS NULL AND earlier.accepted_order < r.accepted_order
           AND (earlier.manifest -> 'sink' ->> 'table' = ANY (:tables::text[]) OR EXISTS (
             SELECT FROM jsonb_each(earlier.manifest -> 'sink' -> 'outputs') o
             WHERE o.value ->> 'table' = ANY (:tables::text[])))) AS "earlierOpen"
       FROM waybill.run r WHERE r.id = :runId AND r.ended_at IS NULL FOR SHARE OF r`,
      { runId, tables: tablesOf(sink) },
      'lock-open-run',
    ),
  );
  if (!rows[0]) throw new WaybillError('RunEnded', { detail: runId });
  const { arrival, order, earlierOpen } = rows[0];
  if (arrival !== 'sealed') throw new WaybillError('UploadIncomplete', { detail: runId });
  return { tenant, runId, sink, order, earlierOpen };
}

/** 64 bits of a hash; two tables that share it by accident merely wait for each other. */
export function lockOf(tenant: string, table: string): string {
  const hash = createHash('sha256').update(tenant).update('\0').update(table).digest();
  return hash.readBigInt64BE().toString();
}

/** Of all tables that rows go to, in the order in which every transaction takes them. */
export function tableLocks(tenant: string, sink: SinkManifest): string[] {
  return tablesOf(sink).map((table) => lockOf(tenant, table));
}

/**
 * Acceptances of runs that write to a table share its lock from before the run gets its place in the order until they commit, and do
 * not wait for each other.
 */
export function acceptingLocks(tenant: string, sink: SinkManifest): string[] {
  return tablesOf(sink).map((table) => lockOf(tenant, `accept ${table}`));
}

/**
 * As part of a larger statement: where the CTE `effect` has a row, the tables of the parameter `written` have another version for the
 * tenant.
 */
export function nextVersionSql(effect: string): string {
  return `INSERT INTO waybill.sink_version AS v (table_name, version)
          SELECT written.name, 1 FROM ${effect}, unnest(:written::text[]) AS written (name)
          ON CONFLICT (tenant, table_name) DO UPDATE SET version = v.version + 1`;
}

/** How often rows were written to any of the tables. */
export async function readVersion(
  client: ClientBase,
  { tenant, sink }: Omit<Storing, 'runId'>,
): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    sql(
      'SELECT coalesce(sum(version), 0)::float8 AS version FROM waybill.sink_version WHERE tenant = :tenant AND table_name = ANY (:tables::text[])',
      { tenant, tables: tablesOf(sink) },
      'read-version',
    ),
  );
  return rows[0]!.version;
}
