import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';

/**
 * A transaction that cannot get the lock or whose client
 * stalls gives way within 30 s: nothing else of the tenant could be stored meanwhile.
 */
export async function beginTurn(
  client: ClientBase,
  { tenant, sink }: Pick<BatchToStore, 'tenant' | 'sink'>,
): Promise<void> {
  // One round trip for what has no answer; the statements after it see what the holder of the lock before us did.
  await client.query(`
    SELECT set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '30s', true);
    SELECT pg_advisory_xact_lock(${lockOf(tenant, sink.table)})`);
}

/**
 * Nothing is written before the last byte of the source is durable, whatever the workflow believes, nor once the end
 * of the run is recorded; until we commit, it cannot be. Throws `RunEnded`, `UploadIncomplete`.
 */
export async function holdOpen(client: ClientBase, { runId }: Pick<BatchToStore, 'runId'>): Promise<void> {
  const { rows } = await client.query<{ arrival: string }>({
    name: 'sink-open',
    text: 'SELECT arrival FROM waybill.run WHERE id = $1 AND ended_at IS NULL FOR SHARE',
    values: [runId],
  });
  if (!rows[0]) throw new WaybillError('RunEnded', { detail: runId });
  if (rows[0].arrival !== 'sealed') throw new WaybillError('UploadIncomplete', { detail: runId });
}

/** 64 bits of a hash; two tables that share it by accident merely wait for each other. */
export function lockOf(tenant: string, table: string): string {
  const hash = createHash('sha256').update(tenant).update('\0').update(table).digest();
  return hash.readBigInt64BE().toString();
}

/**
 * As part of a larger statement: an insert that counts, where the CTE `effect` has a row and rows were written, that the table is
 * another one for the tenant now. Its parameters, from `$first` on, are the name of the table and whether rows were written.
 */
export function nextVersion(effect: string, first: number): string {
  return `INSERT INTO waybill.sink_version AS v (table_name, version)
          SELECT $${first}::text, 1 FROM ${effect} WHERE $${first + 1}::boolean
          ON CONFLICT (tenant, table_name) DO UPDATE SET version = v.version + 1`;
}
