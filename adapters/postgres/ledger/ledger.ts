import type { ClientBase } from 'pg';
import type { Ledger } from '../../../domain/ports/ledger.ts';
import { fromSink } from '../failure.ts';
import type { Tenants } from '../tenants.ts';
import { previewRun, publishRun } from './publishRun.ts';
import { storeBatch } from './storeBatch.ts';
import { lockOf } from './storeTurn.ts';

/**
 * Stores batches and whole runs, each exactly once. The connector of the sink writes the rows.
 *
 * The transactions of one tenant and table take turns (an advisory lock), so that what a batch finds in the table
 * is what it overwrites. The lock comes before the look into the ledger: a zombie and its retry meet there, and
 * the second one sees the entry of the first.
 */
export function createLedger(tenants: Tenants): Ledger {
  const tails = new Map<string, Promise<unknown>>();

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

  return {
    storeBatch: (batch) =>
      inTurn(lockOf(batch.tenant, batch.sink.table), () =>
        transaction(batch, (client) => storeBatch(client, batch)),
      ),
    // Whole runs take long, so batches do not queue behind them here.
    previewRun: (staged) =>
      inTurn(`whole ${lockOf(staged.tenant, staged.sink.table)}`, () =>
        transaction(staged, (client) => previewRun(client, staged)),
      ),
    publishRun: (publication) =>
      inTurn(`whole ${lockOf(publication.tenant, publication.sink.table)}`, () =>
        transaction(publication, (client) => publishRun(client, publication)),
      ),
  };
}
