import type { Pool, PoolClient } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { CredentialProvider } from '../../../domain/ports/credentials.ts';
import { connectPool, transactionOn } from '../connect.ts';
import { fromSink } from '../failure.ts';
import { beginAs } from '../tenants.ts';

/** The databases over which the rows of some sinks are split, by the names that definitions have for them. */
export interface Shards {
  /**
   * Connects to a shard and has the connection used; in that time one transaction or none. Throws `SinkUnavailable`, which names
   * the shard and no host.
   */
  use<T>(shard: string, work: (connection: ShardConnection) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

export interface ShardConnection {
  /** Row-level security sees the tenant. Errors of the database are those of `fromSink`, and name the shard. */
  transaction<T>(
    as: { tenant: string; principal: string },
    work: (client: PoolClient) => Promise<T>,
  ): Promise<T>;
}

/** Where the URLs of shards are, role and password included; each is read at each use, so that it may be rotated. */
export type ShardCredentials = ((name: string) => CredentialProvider) | undefined;

export function openShards(
  credentials: ShardCredentials,
  {
    /** For each shard. */
    connectionsMax = 8,
  } = {},
): Shards {
  const open = new Map<string, { url: string; pool: Pool }>();

  async function poolOf(shard: string): Promise<Pool> {
    const url = await readShardUrl(credentials, shard);
    const known = open.get(shard);
    if (known?.url === url) return known.pool;
    const pool = connectPool(url, { connectionsMax, name: 'waybill-shard' });
    open.set(shard, { url, pool });
    // Connections in use end once they are given back.
    known?.pool.end().catch(() => {});
    return pool;
  }

  return {
    async use(shard, work) {
      let client: PoolClient | undefined;
      try {
        client = await (await poolOf(shard)).connect();
      } catch (error) {
        throw connectError(shard, error);
      }
      try {
        const connected = client;
        const result = await work({
          transaction: async ({ tenant, principal }, inside) => {
            try {
              return await transactionOn(connected, inside, beginAs(tenant, principal));
            } catch (error) {
              throw shardError(shard, error);
            }
          },
        });
        client.release();
        return result;
      } catch (error) {
        client.release(true);
        throw error;
      }
    },
    async end() {
      await Promise.all([...open.values()].map(({ pool }) => pool.end()));
    },
  };
}

/** @param file the name of the credential: another role has another one. Throws `SinkUnavailable`. */
export async function readShardUrl(
  credentials: ShardCredentials,
  shard: string,
  file = shard,
): Promise<string> {
  if (!credentials) throw unavailable(shard, 'Name the folder of its credential in WAYBILL_CREDENTIALS.');
  let url: string;
  try {
    url = await credentials(file).current();
  } catch (cause) {
    throw unavailable(shard, `The credential “${file}” cannot be read.`, cause);
  }
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url))
    throw unavailable(
      shard,
      `The credential “${file}” is not a URL such as postgresql://user@host/database.`,
    );
  return url;
}

/** What an error of `pg` on a connection to a shard means. Our own errors pass through. */
export function shardError(shard: string, error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  const { code, detail, cause } = fromSink(error);
  if (code === 'DatabaseUnavailable') return unavailable(shard, '', cause, detail);
  return new WaybillError(code, { detail: `shard ${shard}: ${detail}`, cause });
}

/** Whatever keeps a role from connecting may pass: a restart, a rotation, maintenance. */
export function connectError(shard: string, error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  const { detail } = fromSink(error);
  return unavailable(shard, '', error, detail);
}

function unavailable(shard: string, hint: string, cause?: unknown, why = hint): WaybillError {
  return new WaybillError('SinkUnavailable', {
    detail: `shard ${shard}: ${why}`,
    publicDetail: `It is the database of shard “${shard}”.${hint && ` ${hint}`}`,
    cause,
  });
}
