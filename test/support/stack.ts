import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { applyPolicySet } from '../../adapters/postgres/rights/policySets.ts';
import { stopChild } from '../../dev/stack/child.ts';
import { openHome } from '../../dev/stack/home.ts';
import { choosePorts } from '../../dev/stack/ports.ts';
import { type Postgres, preparePostgres } from '../../dev/stack/postgres.ts';
import { clusterFolder } from '../../dev/stack/postgresCluster.ts';
import { ensureDatabase, ensureRoles } from '../../dev/stack/postgresRoles.ts';
import { unprivilegedUser } from '../../dev/stack/unprivileged.ts';

/** Where a test finds its database: real PostgreSQL with every migration and the shipped policy, and nothing else in it. */
export interface TestPostgres {
  superuserUrl: string;
  migratorUrl: string;
  apiUrl: string;
  workerUrl: string;
  relayUrl: string;
  stop(): Promise<void>;
}

/** Set by `test/run.ts` to the URLs of one server for the whole run, as `shareServer` returns them. */
export const sharedServerVariable = 'TEST_POSTGRES';

/**
 * A fresh database. Under `test/run.ts` it is a copy in the server of the whole run (roles are shared by all);
 * alone it comes with a server of its own in a temporary home. About 60 ms and 1.5 s.
 */
export async function startPostgresForTest(): Promise<TestPostgres> {
  const shared = process.env[sharedServerVariable];
  if (shared) return copyTemplate(JSON.parse(shared));
  const server = await startServer();
  const database = await copyTemplate(server.urls);
  return {
    ...database,
    stop: async () => {
      await database.stop();
      await server.stop();
    },
  };
}

/** For `test/run.ts`: starts the server of a run. `value` is for the variable above. */
export async function shareServer(): Promise<{ value: string; stop(): Promise<void> }> {
  const server = await startServer();
  return { value: JSON.stringify(server.urls), stop: server.stop };
}

type Urls = Omit<TestPostgres, 'stop'>;

const template = 'waybill_template';

async function startServer(): Promise<{ urls: Urls; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  const home = await openHome(join(folder, 'home'));
  const { port } = await choosePorts({ port: 0 });
  const postgres = await preparePostgres(home, port, false);
  const log = await open(join(home.logs, 'postgres.log'), 'a');
  const child = postgres.spawn(log.fd);
  await log.close();
  const stop = async () => {
    await stopChild(child, 'SIGQUIT', 5_000);
    await rm(await clusterFolder(home, unprivilegedUser()), { recursive: true, force: true });
    await rm(folder, { recursive: true, force: true });
  };
  // A test file that throws before its cleanup must not leave a server behind.
  process.once('exit', () => child.kill('SIGQUIT'));
  try {
    await postgres.ready(child);
    await ensureRoles(postgres.url('postgres', 'postgres'), postgres.passwords);
    await ensureDatabase(postgres.url('postgres', 'postgres'), template);
    await migrate(postgres.url('waybill_migrator', template));
    await applyPolicySet(postgres.url('waybill_migrator', template), await readPolicies());
  } catch (error) {
    await stop();
    throw error;
  }
  return { urls: urlsOf(postgres), stop };
}

function urlsOf(postgres: Postgres): Urls {
  return {
    superuserUrl: postgres.url('postgres', 'postgres'),
    migratorUrl: postgres.url('waybill_migrator', 'postgres'),
    apiUrl: postgres.url('waybill_api', 'postgres'),
    workerUrl: postgres.url('waybill_worker', 'postgres'),
    relayUrl: postgres.url('waybill_relay', 'postgres'),
  };
}

async function copyTemplate(server: Urls): Promise<TestPostgres> {
  const name = `waybill_${randomBytes(6).toString('hex')}`;
  await ensureDatabase(server.superuserUrl, name, template);
  const at = (url: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href;
  return {
    superuserUrl: at(server.superuserUrl),
    migratorUrl: at(server.migratorUrl),
    apiUrl: at(server.apiUrl),
    workerUrl: at(server.workerUrl),
    relayUrl: at(server.relayUrl),
    stop: () => dropDatabase(server.superuserUrl, name),
  };
}

/** How long connections that were closed may take to be gone; a pool does not wait for that. */
const closingMs = 5_000;

async function dropDatabase(superuserUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  // A client that is cut off while it disconnects raises an error that no listener takes any more.
  for (const until = performance.now() + closingMs; performance.now() < until; ) {
    const { rowCount } = await client.query('SELECT FROM pg_stat_activity WHERE datname = $1', [name]);
    if (!rowCount) break;
  }
  await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
  await client.end();
}
