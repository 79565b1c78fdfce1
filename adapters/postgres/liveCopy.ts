import type { Client } from 'pg';
import { clientAt, type DatabaseAddress, lifetimeMaxS } from './address.ts';

const pollMs = 2_000;
/** A server that has been stopped rather than ended never answers. */
const answerWithinMs = 4_000;

/** What one process knows of the database, and how fresh that is. */
export interface LiveCopy {
  /** Resolves with the first complete reading; never rejects. */
  ready: Promise<void>;
  /** Milliseconds since the last complete reading began; infinite before the first. */
  ageMs(): number;
  close(): Promise<void>;
}

/**
 * Keeps a copy of something in the database current: `read` is called at once, whenever `channel` is notified, and every 2 s
 * since a notification may be lost, on one connection of its own, so that no load on the pool delays it. Calls never
 * overlap. A connection that breaks, or a reading that fails, is followed by a new connection; until then the copy ages,
 * and whoever uses it says how old it may be.
 */
export function keepCurrent(
  address: DatabaseAddress,
  channel: string,
  read: (client: Client) => Promise<void>,
  lifetimeS = lifetimeMaxS,
): LiveCopy {
  const closing = new AbortController();
  const first = Promise.withResolvers<void>();
  let readAt = Number.NEGATIVE_INFINITY;

  async function session(): Promise<void> {
    const client = clientAt(address, {
      connectionTimeoutMillis: answerWithinMs,
      query_timeout: answerWithinMs,
      keepAlive: true,
    });
    const news = bell();
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
        first.resolve();
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
      await session().catch(() => {});
      if (!closing.signal.aborted) await pause(250 + Math.random() * 250, closing.signal);
    }
  })();

  return {
    ready: first.promise,
    ageMs: () => performance.now() - readAt,
    async close() {
      closing.abort();
      await running;
    },
  };
}

/** Remembers a ring until somebody waits for it. */
function bell() {
  let rung = false;
  let wake = () => {};
  return {
    ring: () => {
      rung = true;
      wake();
    },
    async rang(withinMs: number): Promise<void> {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, withinMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      rung = false;
    },
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
