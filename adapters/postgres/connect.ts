import { Pool, type PoolClient } from 'pg';
import { type DatabaseAddress, lifetimeMaxS, reach } from './address.ts';
import { fromPostgres } from './failure.ts';

/** Waits are bounded, so that a database which does not answer becomes `DatabaseUnavailable` and not a hang. */
export function connectPool(
  address: DatabaseAddress,
  options: {
    connectionsMax: number;
    name: string;
    /** Default: 120 s, and 5 s to connect. */
    answerWithinMs?: number;
    /** Default: `lifetimeMaxS`. */
    lifetimeS?: number;
  },
): Pool {
  const pool = new Pool({
    ...reach(address),
    max: options.connectionsMax,
    application_name: options.name,
    connectionTimeoutMillis: Math.min(5_000, options.answerWithinMs ?? 5_000),
    idleTimeoutMillis: 60_000,
    maxLifetimeSeconds: options.lifetimeS ?? lifetimeMaxS,
    statement_timeout: options.answerWithinMs ?? 120_000,
    // The client’s own clock, for a server that has been stopped rather than ended and so never answers. If the server
    // answers at all, its own timeout comes first.
    query_timeout: options.answerWithinMs ?? 130_000,
    idle_in_transaction_session_timeout: 60_000,
    keepAlive: true,
  });
  return survivingBreaks(pool);
}

/**
 * A connection that breaks is replaced at the next query; without listeners it would end the process, while it is idle by
 * the pool’s event, and while it is in use or being closed by its own.
 */
export function survivingBreaks(pool: Pool): Pool {
  pool.on('error', () => {});
  return pool.on('connect', (client) => client.on('error', () => {}));
}

/** Runs `work` in one transaction; whatever it throws rolls back. Throws what `fromPostgres` makes of it. */
export async function inTransaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  begin = 'BEGIN',
): Promise<T> {
  let client: PoolClient | undefined;
  try {
    client = await pool.connect();
    const result = await transactionOn(client, work, begin);
    client.release();
    return result;
  } catch (error) {
    // A connection in doubt is closed; the server rolls back.
    client?.release(true);
    throw fromPostgres(error);
  }
}

/** On a connection that the caller closes where this throws, so that the server rolls back. */
export async function transactionOn<T>(
  client: PoolClient,
  work: (client: PoolClient) => Promise<T>,
  begin: string,
): Promise<T> {
  await client.query(begin);
  const result = await work(client);
  await client.query('COMMIT');
  return result;
}
