import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import type { RowsToWrite } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import type { RejectedRecord } from '../../../domain/ports/sinkRows.ts';
import { addCounts, type Counts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { auditParams, auditSql } from '../audit.ts';
import { countCodes, recordLetters } from '../deadLetters/recordLetters.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import { beginTurn, lockOpenRun, nextVersionSql } from './storeTurn.ts';
import { moveWatermark } from './watermarks.ts';

/** Composes what a batch changes, in the one transaction of the caller: rows, dead letters, ledger, audit, watermark. */
export async function storeBatch(client: ClientBase, batch: BatchToStore): Promise<Counts> {
  await beginTurn(client, batch);
  const recorded = await findRecorded(client, batch);
  if (recorded) return recorded;
  const run = await lockOpenRun(client, batch);
  const { rows, counts } = batch;
  const { wrote, rejected, counts: stored } = await writeBatchRows(client, batch, { ...run, rows });
  return recordBatch(client, batch, addCounts({ ...counts, emitted: 0 }, stored), { wrote, rejected });
}

/** Also says what of the counts before storing does not hold, where the database rejected records. */
export async function writeBatchRows(
  client: ClientBase,
  { sink, apart }: BatchToStore,
  rows: RowsToWrite,
): Promise<{ counts: Partial<Counts>; wrote: boolean; rejected: readonly RejectedRecord[] }> {
  // A run of any other kind is published at its end; its grant does not name this step.
  const writer = connectors.sink(sink.kind).writer!;
  const { emitted } = rows.rows;
  if (!apart || !writer.writeApart) {
    const { wrote, ...stored } = await writer.write(client, rows);
    return { counts: { emitted, ...stored }, wrote, rejected: [] };
  }
  const { wrote, rejected, ...stored } = await writer.writeApart(client, rows);
  const left = rejected.reduce((sum, record) => sum + record.rows, 0);
  const counts = { ...stored, emitted: emitted - left, rejected: rejected.length, passed: -rejected.length };
  return { counts, wrote, rejected };
}

/** All that a batch leaves beside its rows. */
export async function recordBatch(
  client: ClientBase,
  batch: BatchToStore,
  counts: Counts,
  { wrote, rejected }: { wrote: boolean; rejected: readonly RejectedRecord[] },
): Promise<Counts> {
  const more = rejected.length > 0 ? await batch.lettersOf(rejected) : [];
  const whole = { ...batch, counts, deadLetters: [...batch.deadLetters, ...more] };
  const keptBytes = await readKeptBytes(client, whole);
  const deadLetterBytes = await recordLetters(client, whole, keptBytes, batch.audit(counts));
  await recordEntry(client, whole, { counts, wrote, deadLetterBytes });
  if (batch.movesWatermark) await moveWatermark(client, batch, batch.audit(counts));
  return counts;
}

export async function findRecorded(client: ClientBase, batch: BatchToStore): Promise<Counts | undefined> {
  const { tenant, runId, seq } = batch;
  const { rows } = await client.query<{ counts: Counts }>(
    sql(
      'SELECT counts FROM waybill.ledger WHERE tenant = :tenant AND run_id = :runId AND seq = :seq',
      { tenant, runId, seq },
      'find-ledger-entry',
    ),
  );
  return rows[0]?.counts;
}

/** How many bytes of rejected records the run keeps already. */
async function readKeptBytes(
  client: ClientBase,
  { tenant, runId, deadLetters }: BatchToStore,
): Promise<number> {
  if (deadLetters.length === 0) return 0;
  const { rows } = await client.query<{ kept: number }>(
    sql(
      `SELECT coalesce(sum(dead_letter_bytes), 0)::float8 AS kept FROM waybill.ledger
       WHERE tenant = :tenant AND run_id = :runId`,
      { tenant, runId },
      'dead-letter-bytes',
    ),
  );
  return rows[0]!.kept;
}

/**
 * The primary key of the ledger backs up the lock: a second entry would fail the whole transaction. Revocations
 * are checked here, last of all, so that a right revoked while rows were written counts too. Throws `GrantRevoked`.
 */
async function recordEntry(
  client: ClientBase,
  batch: BatchToStore,
  { counts, wrote, deadLetterBytes }: { counts: Counts; wrote: boolean; deadLetterBytes: number },
): Promise<void> {
  const { tenant, runId, seq, sink, credential, deadLetters } = batch;
  const { rowCount } = await client.query(
    sql(
      `WITH entry AS (
         INSERT INTO waybill.ledger (tenant, run_id, seq, counts, rejected_by_code, dead_letter_bytes)
         SELECT :tenant, :runId, :seq, :counts::jsonb, :rejectedByCode::jsonb, :deadLetterBytes::bigint WHERE NOT ${isRevokedSql} RETURNING run_id
       ), versioned AS (${nextVersionSql('entry')}), audited AS (${auditSql('entry')})
       SELECT pg_notify('waybill_run', run_id) FROM entry`,
      {
        tenant,
        runId,
        seq,
        counts: JSON.stringify(counts),
        rejectedByCode: JSON.stringify(countCodes(deadLetters)),
        deadLetterBytes,
        ...credentialParams(credential),
        table: sink.table,
        wrote,
        ...auditParams(batch.audit(counts)),
      },
      'insert-ledger-entry',
    ),
  );
  if (!rowCount)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
