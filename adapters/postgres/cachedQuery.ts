import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { clientAt, type DatabaseAddress, lifetimeMaxS } from './address.ts';
import { asyncSignal } from './asyncSignal.ts';
import { fromPostgres } from './failure.ts';

const pollMs = 2_000;
/** A server that has been stopped rather than ended never answers. */
const answerWithinMs = 4_000;
/** Between two connections: at first, and after several that failed. */
const reconnectMs = { first: 250, growth: 2, max: 1_000 };

/** Knowledge older than this decides nothing any more. */
export const ageMaxMs = 10_000;

export interface LiveCopyOptions {
  database: DatabaseAddress;
  /** Notified whenever there is something new to read. */
  channel: string;
  read(client: Client): Promise<void>;
  /** Told of each connection or reading that failed, as `fromPostgres` has it; it is tried again. */
  onError(error: unknown): void;
  /** Default: `lifetimeMaxS`. */
  lifetimeS?: number;
}

/** What one process knows of the database, and how fresh that is. */
export interface LiveCopy {
  /** Resolves with the first complete reading; never rejects. */
  ready: Promise<void>;
  /** Milliseconds since the last complete reading began; infinite before the first. */
  ageMs(): number;
  /** Reads again now. Resolves with whether a reading that began after the call is complete, `false` after 4 s without one. */
  refresh(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * Keeps a copy of something in the database current: `read` is called at once, whenever the channel is notified, and every 2 s
 * since a notification may be lost, on one connection of its own, so that no load on the pool delays it. Calls never
 * overlap. A connection that breaks, or a reading that fails, is followed by a new connection; until then the copy ages,
 * and its users decide nothing by values older than `ageMaxMs`.
 */
export function keepCurrent(options: LiveCopyOptions): LiveCopy {
  const { database, channel, read, onError, lifetimeS = lifetimeMaxS } = options;
  const closing = new AbortController();
  const first = Promise.withResolvers<void>();
  let readAt = Number.NEGATIVE_INFINITY;
  let gapMs = reconnectMs.first;
  const news = asyncSignal();
  let reading = Promise.withResolvers<void>();

  async function session(): Promise<void> {
    const client = clientAt(database, {
      connectionTimeoutMillis: answerWithinMs,
      query_timeout: answerWithinMs,
      keepAlive: true,
    });
    let ended = false;
    const end = () => {
      ended = true;
      news.ring();
    };
    client.on('end', end).on('notification', news.ring);
    closing.signal.addEventListener('abort', end);
    const renewal = setTimeout(end, lifetimeS * 1000);
    try {
      await client.connect();
      await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
      while (!ended) {
        const begunAt = performance.now();
        await read(client);
        readAt = begunAt;
        gapMs = reconnectMs.first;
        first.resolve();
        reading.resolve();
        reading = Promise.withResolvers();
        await news.rang(pollMs);
      }
    } finally {
      clearTimeout(renewal);
      closing.signal.removeEventListener('abort', end);
      // Not waited for: a server that does not answer would not answer this either.
      client.end().catch(() => {});
    }
  }

  const running = (async () => {
    while (!closing.signal.aborted) {
      await session().catch((error) => closing.signal.aborted || onError(fromPostgres(error)));
      await pause(gapMs * (1 + Math.random()), undefined, { signal: closing.signal }).catch(() => {});
      gapMs = Math.min(gapMs * reconnectMs.growth, reconnectMs.max);
    }
  })();

  return {
    ready: first.promise,
    ageMs: () => performance.now() - readAt,
    async refresh() {
      const askedAt = performance.now();
      const late = pause(answerWithinMs, true, { ref: false });
      news.ring();
      while (readAt < askedAt) if (await Promise.race([reading.promise, late])) return false;
      return true;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
