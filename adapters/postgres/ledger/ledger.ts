import type { ClientBase } from 'pg';
import { lanesOf, shardsOf } from '../../../domain/connectors/lanes.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { BatchToStore, Ledger, StagedRun } from '../../../domain/ports/ledger.ts';
import type { Counts } from '../../../domain/runs/run.ts';
import { Semaphore } from '../../../domain/semaphore.ts';
import { sql } from '../../../domain/sql.ts';
import { recordRejections } from '../deadLetters/recordLetters.ts';
import { fromSink } from '../failure.ts';
import { openShards } from '../shards/openShards.ts';
import type { Tenants } from '../tenants.ts';
import { previewRun, publishRun } from './publishRun.ts';
import { storeBatch } from './storeBatch.ts';
import { sealBatch, storeSlots } from './storeLanes.ts';
import { storeShardSlots } from './storeShard.ts';
import { lockOf, tableLocks } from './storeTurn.ts';

/** In one process, whatever their tables: the other connections of its pool are for steps that only record. */
const lanesAtOnceMax = 8;

/**
 * Stores batches and whole runs, each exactly once. The connector of the sink writes the rows.
 *
 * The transactions of one tenant and table take turns (an advisory lock), so that what a batch finds in the table
 * is what it overwrites. The lock comes before the look into the ledger: a zombie and its retry meet there, and
 * the second one sees the entry of the first.
 *
 * A batch with rows in slots is stored in `lanes` transactions at once, and a last one records it. Where the rows are in shards, each
 * shard has a lane of its own, or several.
 */
export function createLedger(tenants: Tenants, { lanes = 1, shards = openShards(undefined) } = {}): Ledger {
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

  function inTurns<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const [key, ...more] = keys;
    return key === undefined ? work() : inTurn(key, () => inTurns(more, work));
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

  async function storeLanes(batch: BatchToStore, all: readonly (() => Promise<void>)[]): Promise<Counts> {
    const table = lockOf(batch.tenant, batch.sink.table);
    const stored = await Promise.allSettled(
      all.map((storeLane, lane) => inTurn(`${table} lane ${lane}`, storeLane)),
    );
    // After all have ended: a retry would only wait for them.
    const failed = stored.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed) throw failed.reason;
    return transaction(batch, (client) => sealBatch(client, batch));
  }

  /** A transaction of the main database. */
  async function laneTransaction(
    batch: BatchToStore,
    work: (client: ClientBase) => Promise<void>,
  ): Promise<void> {
    const giveBack = await laneTurns.take();
    try {
      await transaction(batch, work);
    } finally {
      giveBack();
    }
  }

  function lanesOfBatch(batch: BatchToStore): (() => Promise<void>)[] {
    return lanesOf(batch.sink.lanes ?? lanes).map(
      (slots) => () => laneTransaction(batch, (client) => storeSlots(client, batch, slots)),
    );
  }

  /** Connects before the main database holds anything for it: a shard that is away delays nothing else. */
  function shardLanesOfBatch(batch: BatchToStore, names: readonly string[]): (() => Promise<void>)[] {
    const lanesEach = Math.max(1, Math.floor((batch.sink.lanes ?? 1) / names.length));
    return shardsOf(names).flatMap((shard) =>
      partsOf(shard.slots, lanesEach).map(
        (slots) => () =>
          shards.use(shard.name, (connection) =>
            laneTransaction(batch, (client) => storeShardSlots(client, connection, batch, { shard, slots })),
          ),
      ),
    );
  }

  return {
    async storeBatch(batch) {
      const { sink, rows, settlesLetters } = batch;
      if (sink.shards && rows.emitted > 0) {
        checkSharded(batch);
        return storeLanes(batch, shardLanesOfBatch(batch, sink.shards));
      }
      // A letter is settled together with its row.
      if (rows.ofSlots && !sink.shards && !settlesLetters) return storeLanes(batch, lanesOfBatch(batch));
      return inTurns(tableLocks(batch.tenant, sink), () =>
        transaction(batch, (client) => storeBatch(client, batch)),
      );
    },
    recordRejections: (rejected) => transaction(rejected, (client) => recordRejections(client, rejected)),
    // Whole runs take long, so batches do not queue behind them here.
    previewRun: (staged) =>
      inTurns(wholeLocks(staged), () => transaction(staged, (client) => previewRun(client, staged))),
    publishRun: (publication) =>
      inTurns(wholeLocks(publication), () =>
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

/** At most so many parts of about the same length. */
function partsOf(slots: readonly number[], count: number): number[][] {
  const size = Math.ceil(slots.length / count);
  return Array.from({ length: Math.ceil(slots.length / size) }, (_, i) =>
    slots.slice(i * size, (i + 1) * size),
  );
}

/** Throws `SinkRejected` where rows of one record, one of which a shard rejects, may be in others already. */
function checkSharded({ rows, counts, apart, seq, runId }: BatchToStore): void {
  if (!rows.ofSlots)
    throw new WaybillError('Internal', { detail: `batch ${seq} of ${runId} is not in slots` });
  if (apart && counts.emitted > counts.passed)
    throw new WaybillError('SinkRejected', {
      publicDetail: 'Records with several rows are in several shards, so that none of them can be left out.',
    });
}

function wholeLocks({ tenant, sink }: Pick<StagedRun, 'tenant' | 'sink'>): string[] {
  return tableLocks(tenant, sink).map((lock) => `whole ${lock}`);
}
