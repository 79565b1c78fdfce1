import type { ClientBase } from 'pg';
import { slotCount } from '../../../domain/connectors/lanes.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import type { RejectedRecord } from '../../../domain/ports/sinkRows.ts';
import { addCounts, type Counts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import { findRecorded, recordBatch, writeBatchRows } from './storeBatch.ts';
import { beginTurn, lockOf, lockOpenRun, nextVersionSql } from './storeTurn.ts';

/**
 * One lane of a batch, in a transaction of its own: the rows of these slots, and that they are stored. Slots that an earlier attempt
 * has stored stay as they are, also where that attempt had another number of lanes.
 */
export async function storeSlots(
  client: ClientBase,
  batch: BatchToStore,
  slots: readonly number[],
): Promise<void> {
  await beginTurn(client, batch, slots);
  const left = await findLeft(client, batch, slots);
  if (left.length === 0) return;
  const run = await lockOpenRun(client, batch);
  const rows = batch.rows.ofSlots!(left);
  await recordSlots(client, batch, left, await writeBatchRows(client, batch, { ...run, rows }));
}

/**
 * After the last lane: the batch, with the sum of its lanes, and what belongs to no lane: dead letters, audit event, watermark. Of several
 * attempts the first records it.
 */
export async function sealBatch(client: ClientBase, batch: BatchToStore): Promise<Counts> {
  const { tenant, runId, seq } = batch;
  await client.query(sql('SELECT pg_advisory_xact_lock(:lock)', { lock: lockOf(tenant, `run ${runId}`) }));
  const recorded = await findRecorded(client, batch);
  if (recorded) return recorded;
  await lockOpenRun(client, batch);
  const { rows } = await client.query<{ counts: Partial<Counts> | null; rejected: RejectedRecord[] | null }>(
    sql(
      'SELECT counts, rejected FROM waybill.ledger_slot WHERE tenant = :tenant AND run_id = :runId AND seq = :seq',
      { tenant, runId, seq },
      'read-slots',
    ),
  );
  if (rows.length !== slotCount)
    throw new WaybillError('Internal', { detail: `batch ${seq} of ${runId} has ${rows.length} slots` });
  const before: Counts = { ...batch.counts, emitted: 0 };
  const counts = rows.reduce((sum, lane) => addCounts(sum, lane.counts ?? {}), before);
  const rejected = rows.flatMap((lane) => lane.rejected ?? []).sort((a, b) => a.position - b.position);
  // Each lane has given the table its next version.
  return recordBatch(client, batch, counts, { written: [], rejected });
}

export async function findLeft(
  client: ClientBase,
  { tenant, runId, seq }: BatchToStore,
  slots: readonly number[],
): Promise<number[]> {
  const { rows } = await client.query<{ slot: number }>(
    sql(
      `SELECT slot FROM waybill.ledger_slot WHERE tenant = :tenant AND run_id = :runId AND seq = :seq
       UNION ALL SELECT generate_series(0, 15) FROM waybill.ledger
       WHERE tenant = :tenant AND run_id = :runId AND seq = :seq`,
      { tenant, runId, seq },
      'find-slots',
    ),
  );
  return slots.filter((slot) => !rows.some((row) => row.slot === slot));
}

/** The primary key backs up the locks. Revocations are checked last of all. Throws `GrantRevoked`. */
export async function recordSlots(
  client: ClientBase,
  { tenant, runId, seq, credential }: BatchToStore,
  slots: readonly number[],
  { counts, written, rejected }: Awaited<ReturnType<typeof writeBatchRows>>,
  { checksGrant = true } = {},
): Promise<void> {
  const { rowCount } = await client.query(
    sql(
      `WITH entries AS (
         INSERT INTO waybill.ledger_slot (tenant, run_id, seq, slot, counts, rejected)
         SELECT :tenant, :runId, :seq, slot, CASE WHEN first THEN :counts::jsonb END, CASE WHEN first THEN :rejected::jsonb END
         FROM (SELECT slot, slot = min(slot) OVER () AS first FROM unnest(:slots::smallint[]) slot) s
         WHERE NOT (:checksGrant::boolean AND ${isRevokedSql}) RETURNING run_id
       ), once AS (
         SELECT run_id FROM entries LIMIT 1
       ), versioned AS (${nextVersionSql('once')})
       SELECT FROM once`,
      {
        ...{ tenant, runId, seq, slots, written, checksGrant },
        counts: JSON.stringify(counts),
        rejected: rejected.length > 0 ? JSON.stringify(rejected) : null,
        ...credentialParams(credential),
      },
      'insert-slots',
    ),
  );
  if (!rowCount)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
