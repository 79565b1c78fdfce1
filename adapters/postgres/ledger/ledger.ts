import type { ClientBase } from 'pg';
import { lanesOf } from '../../../domain/connectors/lanes.ts';
import type { BatchToStore, Ledger } from '../../../domain/ports/ledger.ts';
import type { Counts } from '../../../domain/runs/run.ts';
import { Semaphore } from '../../../domain/semaphore.ts';
import { sql } from '../../../domain/sql.ts';
import { recordRejections } from '../deadLetters/recordLetters.ts';
import { fromSink } from '../failure.ts';
import type { Tenants } from '../tenants.ts';
import { previewRun, publishRun } from './publishRun.ts';
import { storeBatch } from './storeBatch.ts';
import { sealBatch, storeSlots } from './storeLanes.ts';
import { lockOf } from './storeTurn.ts';

/** In one process, whatever their tables: the other connections of its pool are for steps that only record. */
const lanesAtOnceMax = 8;

/**
 * Stores batches and whole runs, each exactly once. The connector of the sink writes the rows.
 *
 * The transactions of one tenant and table take turns (an advisory lock), so that what a batch finds in the table
 * is what it overwrites. The lock comes before the look into the ledger: a zombie and its retry meet there, and
 * the second one sees the entry of the first.
 *
 * A batch with rows in slots is stored in `lanes` transactions at once, and a last one records it.
 */
export function createLedger(tenants: Tenants, { lanes = 1 } = {}): Ledger {
  const tails = new Map<string, Promise<unknown>>();
  const laneTurns = new Semaphore({ running: lanesAtOnceMax, waiting: 10_000 });

  /** Calls of this process wait for each other here, so that waiting for the lock holds no more than one connection. */
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

  async function storeLanes(batch: BatchToStore): Promise<Counts> {
    const table = lockOf(batch.tenant, batch.sink.table);
    const stored = await Promise.allSettled(
      lanesOf(batch.sink.lanes ?? lanes).map((slots, lane) =>
        inTurn(`${table} lane ${lane}`, async () => {
          const giveBack = await laneTurns.take();
          try {
            await transaction(batch, (client) => storeSlots(client, batch, slots));
          } finally {
            giveBack();
          }
        }),
      ),
    );
    // After all have ended: a retry would only wait for them.
    const failed = stored.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed) throw failed.reason;
    return transaction(batch, (client) => sealBatch(client, batch));
  }

  return {
    storeBatch: (batch) =>
      // A letter is settled together with its row.
      batch.rows.ofSlots && !batch.settlesLetters
        ? storeLanes(batch)
        : inTurn(lockOf(batch.tenant, batch.sink.table), () =>
            transaction(batch, (client) => storeBatch(client, batch)),
          ),
    recordRejections: (rejected) => transaction(rejected, (client) => recordRejections(client, rejected)),
    // Whole runs take long, so batches do not queue behind them here.
    previewRun: (staged) =>
      inTurn(`whole ${lockOf(staged.tenant, staged.sink.table)}`, () =>
        transaction(staged, (client) => previewRun(client, staged)),
      ),
    publishRun: (publication) =>
      inTurn(`whole ${lockOf(publication.tenant, publication.sink.table)}`, () =>
        transaction(publication, (client) => publishRun(client, publication)),
      ),
    async isPublished({ tenant, runId }) {
      const { rowCount } = await tenants.for(tenant).query(
        sql('SELECT FROM waybill.ledger WHERE tenant = :tenant AND run_id = :runId LIMIT 1', {
          tenant,
          runId,
        }),
      );
      return rowCount === 1;
    },
  };
}
