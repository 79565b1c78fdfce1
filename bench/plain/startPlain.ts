import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { databaseUrl, ensurePasswords } from '../../dev/stack/passwords.ts';
import { ensureDatabase } from '../../dev/stack/postgresRoles.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import type { PlainSettings } from './settings.ts';

const database = 'plain';
const workers = 2;

export interface Plain {
  /** A fetch against its API; it asks for no particular token. */
  call(path: string, init?: RequestInit): Promise<Response>;
  /** As a superuser. */
  databaseUrl: string;
  pids: { api: number[]; workers: number[] };
  stop(): Promise<void>;
}

/**
 * The same pipelines without identity, beside a stack and out of the same parts: an API and as many workers as the stack has,
 * at the same priorities, with a database of their own in its PostgreSQL (or the relay of one would take the runs of the other), on a task queue of
 * their own in its Temporal, with the same object store. Nothing in the product could be told to be like this.
 */
export async function startPlain(stack: DevStack, project: string): Promise<Plain> {
  const { databaseUrl: superuser, temporalAddress } = stack.info();
  const port = Number(new URL(superuser).port);
  const passwords = ensurePasswords(join(stack.home, 'keys/database'));
  await ensureDatabase(superuser, database);
  const migrator = databaseUrl(passwords, port, 'waybill_migrator', database);
  await migrate(migrator);
  await applySinks(
    migrator,
    (await loadProject(project)).list().map(({ manifest }) => manifest),
  );

  const as = (role: keyof PlainSettings['databases']) => ({
    url: `postgres://${role}@127.0.0.1:${port}/${database}`,
    passwordFile: passwords.fileOf(role),
  });
  const settings: PlainSettings = {
    databases: {
      waybill_api: as('waybill_api'),
      waybill_worker: as('waybill_worker'),
      waybill_relay: as('waybill_relay'),
    },
    project,
    objects: join(stack.home, 'objects'),
    temporalAddress,
    taskQueue: 'plain',
  };
  const api = await launch('plainApiMain.ts', settings);
  const working = await Promise.all(
    Array.from({ length: workers }, () => launch('plainWorkerMain.ts', settings)),
  );
  const url = `http://127.0.0.1:${(api.message as { port: number }).port}`;
  return {
    call: (path, init = {}) =>
      fetch(new URL(path, url), { ...init, headers: { ...init.headers, authorization: 'Bearer anything' } }),
    databaseUrl: Object.assign(new URL(superuser), { pathname: `/${database}` }).href,
    pids: { api: [api.child.pid!], workers: working.map(({ child }) => child.pid!) },
    stop: () => end([api, ...working]),
  };
}

interface Launched {
  child: ChildProcess;
  /** What it said once it served. */
  message: unknown;
}

async function launch(name: string, settings: PlainSettings): Promise<Launched> {
  const child = fork(fileURLToPath(new URL(name, import.meta.url)), [JSON.stringify(settings)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // A session of its own, as the processes of a stack have.
    detached: true,
  });
  const [message] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error(`${name} did not start`))),
  ]);
  return { child, message };
}

async function end(launched: readonly Launched[]): Promise<void> {
  await Promise.all(
    launched.map(async ({ child }) => {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    }),
  );
}
