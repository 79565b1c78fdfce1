import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore, Ledger } from '../../../domain/ports/ledger.ts';
import type { Counts } from '../../../domain/runs/run.ts';
import { auditValues, auditWhere } from '../audit.ts';
import { fromSink } from '../failure.ts';
import { voided, voidedValues } from '../rights/revokedSql.ts';
import type { Tenants } from '../tenants.ts';
import { insertDeadLetters } from './deadLetters.ts';
import { preview, publish } from './publishRun.ts';
import { beginTurn, holdOpen, lockOf, nextVersion } from './sinkTurn.ts';
import { moveWatermark } from './watermarks.ts';

/**
 * Stores batches in tables of PostgreSQL, each exactly once.
 *
 * The transactions of one tenant and table take turns (an advisory lock), so that what a batch finds in the table
 * is what it overwrites. The lock comes before the look into the ledger: a zombie and its retry meet there, and
 * whoever comes second sees the entry of the first.
 */
export function createLedger(tenants: Tenants): Ledger {
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

  function transaction<T>(
    { tenant, principal }: { tenant: string; principal: string },
    work: (client: ClientBase) => Promise<T>,
  ): Promise<T> {
    return tenants.for(tenant, principal).transaction((client) =>
      work(client).catch((error) => {
        throw fromSink(error);
      }),
    );
  }

  return {
    storeBatch: (load) =>
      inTurn(lockOf(load.tenant, load.sink.table), () => transaction(load, (client) => store(client, load))),
    // Whole runs take long, so batches do not queue behind them here.
    previewRun: (staged) =>
      inTurn(`whole ${lockOf(staged.tenant, staged.sink.table)}`, () =>
        transaction(staged, (client) => preview(client, staged)),
      ),
    publishRun: (publication) =>
      inTurn(`whole ${lockOf(publication.tenant, publication.sink.table)}`, () =>
        transaction(publication, (client) => publish(client, publication)),
      ),
  };
}

async function store(client: ClientBase, load: BatchToStore): Promise<Counts> {
  await beginTurn(client, load);
  const recorded = await findRecorded(client, load);
  if (recorded) return recorded;
  await holdOpen(client, load);
  const { wrote, ...landed } = await connectors.sink(load.sink.kind).writer.write(client, load);
  const counts = { ...load.counts, ...landed };
  await insertDeadLetters(client, load);
  await record(client, load, counts, wrote);
  if (load.movesWatermark) await moveWatermark(client, load, load.audit(counts));
  return counts;
}

async function findRecorded(
  client: ClientBase,
  { tenant, runId, seq }: BatchToStore,
): Promise<Counts | undefined> {
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
async function record(client: ClientBase, load: BatchToStore, counts: Counts, wrote: boolean): Promise<void> {
  const { tenant, runId, seq, sink, credential } = load;
  const audit = auditValues(load.audit(counts));
  const { rowCount } = await client.query({
    name: 'sink-record',
    text: `WITH entry AS (
             INSERT INTO waybill.ledger (tenant, run_id, seq, counts)
             SELECT $1, $2, $3, $4::jsonb WHERE NOT ${voided(5)} RETURNING run_id
           ), versioned AS (${nextVersion('entry', 18)}),
           audited AS (${auditWhere('entry', 11)})
           SELECT pg_notify('waybill_run', run_id) FROM entry`,
    values: [
      ...[tenant, runId, seq, JSON.stringify(counts)],
      ...voidedValues(credential),
      ...audit,
      ...[sink.table, wrote],
    ],
  });
  if (!rowCount)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
