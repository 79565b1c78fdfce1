import type { ClientBase } from 'pg';
import type { Shard } from '../../../domain/connectors/lanes.ts';
import type { SinkRun } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import type { RejectedRecord } from '../../../domain/ports/sinkRows.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { asked } from '../failure.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import type { ShardConnection } from '../shards/openShards.ts';
import { writeBatchRows } from './storeBatch.ts';
import { findLeft, recordSlots } from './storeLanes.ts';
import { beginTurn, lockOf, lockOpenRun } from './storeTurn.ts';

/**
 * One lane with its rows in another database: a transaction there, inside one in the main database.
 *
 * 1. The outer one locks the slots and the run, so that the run cannot end.
 * 2. The inner one locks the slots too, writes the rows of those that it has not recorded, and records them. It asks the outer one
 *    whether the grant still stands, and commits.
 * 3. The outer one records the slots with the counts of the inner one, and commits.
 *
 * After a crash between the two commits, the retry finds the slots in the shard and only records them. A worker that stalls
 * loses the inner transaction before the outer one (`idle…Ms`), so that no rows appear in a shard after the run was free to end.
 */
export async function storeShardSlots(
  client: ClientBase,
  connection: ShardConnection,
  batch: BatchToStore,
  { shard, slots }: { shard: Shard; slots: readonly number[] },
): Promise<void> {
  await beginTurn(client, batch, slots);
  const left = await findLeft(client, batch, slots);
  if (left.length === 0) return;
  const run = await lockOpenRun(client, batch);
  const held = holdOpen(client);
  try {
    const stored = await connection.transaction(batch, async (inner) => {
      await beginShardTurn(inner, batch, left);
      await checkPlace(inner, batch, shard);
      const known = await findStored(inner, client, batch, left);
      const fresh = left.filter((slot) => !known.slots.has(slot));
      if (fresh.length === 0) return known;
      const written = await writeShard(inner, batch, run, fresh);
      await held.release();
      await checkGrant(client, batch);
      return {
        counts: addCounts(known.counts, written.counts),
        wrote: known.wrote || written.written.length > 0,
        rejected: [...known.rejected, ...written.rejected],
      };
    });
    // They are there, whatever was revoked in between.
    await held.release();
    const written = stored.wrote ? [batch.sink.table] : [];
    await recordSlots(client, batch, left, { ...stored, written }, { checksGrant: false });
  } finally {
    await held.release();
  }
}

/** Shorter than `beginTurn` gives the outer transaction, which is asked last. */
const idleInShardMs = 20_000;
const pingMs = 5_000;

/** Keeps the outer transaction from being idle for too long while the inner one works. A process that stalls does not. */
function holdOpen(client: ClientBase): { release(): Promise<void> } {
  let last: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    last = client.query('SELECT 1').catch(() => {});
  }, pingMs);
  return {
    async release() {
      clearInterval(timer);
      await last;
    },
  };
}

async function beginShardTurn(
  inner: ClientBase,
  { tenant, sink }: BatchToStore,
  slots: readonly number[],
): Promise<void> {
  // The main database may be a shard too: these are other locks than those of `beginTurn`.
  const locks = slots.map((slot) => lockOf(tenant, `shard ${sink.table} slot ${slot}`));
  await inner.query(`
    SELECT set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '${idleInShardMs}ms', true);
    ${locks.map((lock) => `SELECT pg_advisory_xact_lock(${lock})`).join(';\n')}`);
}

/** A credential that names another database would put rows where no reader looks for them. Throws `SinkIncompatible`. */
async function checkPlace(inner: ClientBase, { sink }: BatchToStore, { name, place }: Shard): Promise<void> {
  const { rows } = await inner.query<{ shard: string; place: number; shards: number }>(
    sql(
      'SELECT shard, place, shards FROM waybill.shard_table WHERE table_name = :table',
      { table: sink.table },
      'find-place',
    ),
  );
  const [found] = rows;
  if (found?.shard === name && found.place === place && found.shards === sink.shards!.length) return;
  throw new WaybillError('SinkIncompatible', {
    publicDetail: `The database of shard “${name}” is not that shard of ${sink.table}. Check its credential, then run waybill apply.`,
  });
}

interface StoredSlots {
  counts: Counts;
  wrote: boolean;
  rejected: readonly RejectedRecord[];
}

interface SlotRow {
  run: string;
  seq: number;
  slot: number;
  stored: Partial<StoredSlots> | null;
}

/** What an earlier attempt has stored of these slots. What no attempt will ask for again is removed. */
async function findStored(
  inner: ClientBase,
  client: ClientBase,
  { tenant, runId, seq, sink }: BatchToStore,
  slots: readonly number[],
): Promise<StoredSlots & { slots: ReadonlySet<number> }> {
  const { table } = sink;
  const { rows } = await inner.query<SlotRow>(
    sql(
      `SELECT run_id AS run, seq, slot, stored FROM waybill.shard_slot
       WHERE tenant = :tenant AND table_name = :table AND slot = ANY (:slots::smallint[])`,
      { tenant, table, slots },
      'find-shard-slots',
    ),
  );
  const isMine = (row: SlotRow) => row.run === runId && row.seq === seq;
  const done = await findRecorded(
    client,
    tenant,
    rows.filter((row) => !isMine(row)),
  );
  if (done.length > 0)
    await inner.query(
      sql(
        `DELETE FROM waybill.shard_slot s USING unnest(:runs::text[], :seqs::integer[]) AS done (run, seq)
         WHERE s.tenant = :tenant AND s.table_name = :table AND s.slot = ANY (:slots::smallint[])
           AND s.run_id = done.run AND s.seq = done.seq`,
        { tenant, table, slots, runs: done.map(({ run }) => run), seqs: done.map(({ seq }) => seq) },
      ),
    );
  const mine = rows.filter(isMine);
  const stored = mine.flatMap((row) => row.stored ?? []);
  return {
    slots: new Set(mine.map(({ slot }) => slot)),
    counts: stored.reduce((sum, { counts }) => addCounts(sum, counts ?? {}), zeroCounts),
    wrote: stored.some(({ wrote }) => wrote),
    rejected: stored.flatMap(({ rejected }) => rejected ?? []),
  };
}

/** Of these batches, those of which the main database has all slots, and those of runs that have ended. */
async function findRecorded(
  client: ClientBase,
  tenant: string,
  batches: readonly Pick<SlotRow, 'run' | 'seq'>[],
): Promise<Pick<SlotRow, 'run' | 'seq'>[]> {
  if (batches.length === 0) return [];
  const { rows } = await asked(
    client.query<Pick<SlotRow, 'run' | 'seq'>>(
      sql(
        `SELECT DISTINCT run, seq FROM unnest(:runs::text[], :seqs::integer[]) AS b (run, seq)
         WHERE EXISTS (SELECT FROM waybill.ledger l WHERE l.tenant = :tenant AND l.run_id = run AND l.seq = b.seq)
            OR NOT EXISTS (SELECT FROM waybill.run r WHERE r.id = run AND r.ended_at IS NULL)`,
        { tenant, runs: batches.map(({ run }) => run), seqs: batches.map(({ seq }) => seq) },
      ),
    ),
  );
  return rows;
}

async function writeShard(
  inner: ClientBase,
  batch: BatchToStore,
  run: SinkRun,
  slots: readonly number[],
): Promise<Awaited<ReturnType<typeof writeBatchRows>>> {
  const written = await writeBatchRows(inner, batch, { ...run, rows: batch.rows.ofSlots!(slots) });
  const { tenant, runId, seq, sink } = batch;
  await inner.query(
    sql(
      `INSERT INTO waybill.shard_slot (tenant, table_name, slot, run_id, seq, stored)
       SELECT :tenant, :table, slot, :runId, :seq, CASE WHEN slot = min(slot) OVER () THEN :stored::jsonb END
       FROM unnest(:slots::smallint[]) slot`,
      { tenant, table: sink.table, runId, seq, slots, stored: JSON.stringify(written) },
      'insert-shard-slots',
    ),
  );
  return written;
}

/** Last of all before the rows are visible. Throws `GrantRevoked`. */
async function checkGrant(client: ClientBase, { runId, seq, credential }: BatchToStore): Promise<void> {
  const { rows } = await asked(
    client.query<{ revoked: boolean }>(
      sql(`SELECT ${isRevokedSql} AS revoked`, credentialParams(credential), 'check-grant'),
    ),
  );
  if (rows[0]!.revoked)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
