import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { survivingBreaks } from '../../adapters/postgres/connect.ts';
import { ensureDatabase } from '../../dev/stack/postgresRoles.ts';
import type { CredentialProvider } from '../../domain/ports/credentials.ts';
import type { TestPostgres } from './stack.ts';

/** Databases beside the main one, on its server, with the roles and nothing of Waybill in them. */
export interface TestShards {
  /** By shard, as the role of workers. */
  workerUrls: Readonly<Record<string, string>>;
  /** For a name `east` as the role of workers, for `east.migrator` as the owner of tables. */
  credentials(name: string): CredentialProvider;
  superuser(shard: string): pg.Pool;
  /** From now on it takes no connection, and has none but those of `superuser`. */
  refuseConnections(shard: string): Promise<void>;
  acceptConnections(shard: string): Promise<void>;
  stop(): Promise<void>;
}

export async function startShardsForTest(
  server: TestPostgres,
  shards: readonly string[],
): Promise<TestShards> {
  const databases = new Map(shards.map((name) => [name, `waybill_shard_${randomBytes(6).toString('hex')}`]));
  const urlIn = (url: string, shard: string) =>
    Object.assign(new URL(url), { pathname: `/${databases.get(shard)!}` }).href;
  for (const database of databases.values()) await ensureDatabase(server.superuserUrl, database);
  const admin = new pg.Pool({ connectionString: server.superuserUrl, max: 1 });
  const superusers = new Map(
    shards.map((name) => [
      name,
      survivingBreaks(new pg.Pool({ connectionString: urlIn(server.superuserUrl, name), max: 4 })),
    ]),
  );
  const allow = (shard: string, allowed: boolean) =>
    admin.query(`ALTER DATABASE ${databases.get(shard)} ALLOW_CONNECTIONS ${allowed}`);
  return {
    workerUrls: Object.fromEntries(shards.map((name) => [name, urlIn(server.workerUrl, name)])),
    credentials: (name) => ({
      async current() {
        const [shard, role] = name.split('.');
        if (!databases.has(shard!)) throw new Error(`there is no ${name}`);
        return urlIn(role === 'migrator' ? server.migratorUrl : server.workerUrl, shard!);
      },
    }),
    superuser: (shard) => superusers.get(shard)!,
    async refuseConnections(shard) {
      await allow(shard, false);
      await admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename <> 'postgres'`,
        [databases.get(shard)],
      );
    },
    acceptConnections: async (shard) => void (await allow(shard, true)),
    async stop() {
      for (const pool of superusers.values()) await pool.end();
      for (const database of databases.values())
        await admin.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
      await admin.end();
    },
  };
}
