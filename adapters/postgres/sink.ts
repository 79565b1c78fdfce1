import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { WaybillError } from '../../domain/errors.ts';
import type { Load, Sink } from '../../domain/ports/sink.ts';
import type { Counts } from '../../domain/run.ts';
import { auditValues, auditWhere } from './audit.ts';
import { insertDeadLetters } from './deadLetters.ts';
import { fromSink } from './failure.ts';
import type { Tenants } from './tenants.ts';
import { upsertRows } from './upsertRows.ts';
import { voided, voidedValues } from './voided.ts';
import { moveWatermark } from './watermarks.ts';

/**
 * Stores batches in tables of PostgreSQL, each exactly once.
 *
 * The transactions of one tenant and table take turns (an advisory lock), so that what a batch finds in the table
 * is what it overwrites. The lock comes before the look into the ledger: a zombie and its retry meet there, and
 * whoever comes second sees the entry of the first.
 */
export function createSink(tenants: Tenants): Sink {
  const tails = new Map<string, Promise<unknown>>();

  /** Those of this process wait for each other here, so that waiting for the lock holds no more than one connection. */
  async function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const mine = (tails.get(key) ?? Promise.resolve()).then(work, work);
    tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (tails.get(key) === mine) tails.delete(key);
    }
  }

  return {
    store: (load) =>
      inTurn(lockOf(load.tenant, load.sink.table), () =>
        tenants.for(load.tenant, load.principal).transaction(async (client) => {
          try {
            return await store(client, load);
          } catch (error) {
            throw fromSink(error);
          }
        }),
      ),
  };
}

async function store(client: ClientBase, load: Load): Promise<Counts> {
  await begin(client, load);
  const recorded = await findRecorded(client, load);
  if (recorded) return recorded;
  await holdOpen(client, load);
  const counts = { ...load.counts, ...(await upsertRows(client, load)) };
  await insertDeadLetters(client, load);
  await record(client, load, counts);
  if (load.movesWatermark) await moveWatermark(client, load, load.audit(counts));
  return counts;
}

/**
 * A transaction that cannot get the lock or whose client
 * stalls gives way within 30 s: nothing else of the tenant could be stored meanwhile.
 */
async function begin(client: ClientBase, { tenant, sink }: Load): Promise<void> {
  // One round trip for what has no answer; the statements after it see what the holder of the lock before us did.
  await client.query(`
    SELECT set_config('lock_timeout', '30s', true), set_config('idle_in_transaction_session_timeout', '30s', true);
    SELECT pg_advisory_xact_lock(${lockOf(tenant, sink.table)})`);
}

/**
 * Nothing is written before the last byte of the source is durable, whatever the workflow believes, nor once the end
 * of the run is recorded; until we commit, it cannot be. Throws `RunEnded`, `UploadIncomplete`.
 */
async function holdOpen(client: ClientBase, { runId }: Load): Promise<void> {
  const { rows } = await client.query<{ arrival: string }>({
    name: 'sink-open',
    text: 'SELECT arrival FROM waybill.run WHERE id = $1 AND ended_at IS NULL FOR SHARE',
    values: [runId],
  });
  if (!rows[0]) throw new WaybillError('RunEnded', { detail: runId });
  if (rows[0].arrival !== 'sealed') throw new WaybillError('UploadIncomplete', { detail: runId });
}

/** 64 bits of a hash; two tables that share it by accident merely wait for each other. */
function lockOf(tenant: string, table: string): string {
  const hash = createHash('sha256').update(tenant).update('\0').update(table).digest();
  return hash.readBigInt64BE().toString();
}

async function findRecorded(client: ClientBase, { tenant, runId, seq }: Load): Promise<Counts | undefined> {
  const { rows } = await client.query<{ counts: Counts }>({
    name: 'sink-recorded',
    text: 'SELECT counts FROM waybill.ledger WHERE tenant = $1 AND run_id = $2 AND seq = $3',
    values: [tenant, runId, seq],
  });
  return rows[0]?.counts;
}

/**
 * The primary key of the ledger stands behind the lock: a second entry would fail the whole transaction. What was revoked
 * is asked here, last of all, so that what was withdrawn while rows were written counts too. Throws `GrantRevoked`.
 */
async function record(client: ClientBase, load: Load, counts: Counts): Promise<void> {
  const { tenant, runId, seq, credential } = load;
  const audit = auditValues(load.audit(counts));
  const { rowCount } = await client.query({
    name: 'sink-record',
    text: `WITH entry AS (
             INSERT INTO waybill.ledger (tenant, run_id, seq, counts)
             SELECT $1, $2, $3, $4::jsonb WHERE NOT ${voided(5)} RETURNING run_id
           ), audited AS (${auditWhere('entry', 10)})
           SELECT pg_notify('waybill_run', run_id) FROM entry`,
    values: [tenant, runId, seq, JSON.stringify(counts), ...voidedValues(credential), ...audit],
  });
  if (!rowCount)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
