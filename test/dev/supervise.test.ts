import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { takeLock } from '../../cli/lock.ts';
import { recordOf } from '../../cli/processRecord.ts';
import { hasExited } from '../../dev/stack/child.ts';
import { type Home, openHome } from '../../dev/stack/home.ts';
import { endLeftovers, rememberProcess } from '../../dev/stack/runRecords.ts';
import type { Service, ServiceName } from '../../dev/stack/service.ts';
import { createSupervisor, type Supervisor } from '../../dev/stack/supervise.ts';

let folder: string;
let home: Home;
let supervisor: Supervisor;
let changes: number;
let onChange: () => void;
/** Every process of the test, the first started first. */
let started: { name: ServiceName; child: ChildProcess }[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  home = await openHome(folder);
  started = [];
  changes = 0;
  onChange = () => {};
  supervisor = createSupervisor(
    home,
    () => {},
    () => {
      changes++;
      onChange();
    },
  );
});

afterEach(async () => {
  supervisor.kill();
  for (const { child } of started) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

const serve = "setInterval(() => {}, 1000); process.on('SIGTERM', () => process.exit(0));";

function service(name: ServiceName, script = serve): Service {
  return {
    name,
    stopSignal: 'SIGTERM',
    graceMs: 5_000,
    spawn(logFd) {
      const child = spawn(process.execPath, ['-e', `${script}; process.send('up')`], {
        stdio: ['ignore', logFd, logFd, 'ipc'],
      });
      started.push({ name, child });
      return child;
    },
    ready: async (child) => {
      const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')]);
      if (first !== 'up') throw new Error(`${name} ended while it started (${first})`);
    },
  };
}

test('a process that is killed is replaced, and the list of processes says so', async () => {
  await supervisor.start(service('api'));
  const { pid } = supervisor.processes()[0]!;
  assert.equal(JSON.parse(await readFile(join(home.run, 'api.pid'), 'utf8')).pid, pid);
  const replaced = new Promise<void>((resolve) => {
    onChange = resolve;
  });
  process.kill(pid, 'SIGKILL');
  await replaced;
  const now = supervisor.processes()[0]!;
  assert.equal(now.name, 'api');
  assert.notEqual(now.pid, pid);
  assert.equal(changes, 2);
});

test('everything is stopped in the reverse order, those of a kind together', async () => {
  const order: string[] = [];
  for (const name of ['postgres', 'api', 'worker-1', 'worker-2'] as const) {
    await supervisor.start(service(name));
    started.at(-1)!.child.once('exit', () => order.push(name));
  }
  await supervisor.stop();
  assert.deepEqual(order.slice(0, 2).sort(), ['worker-1', 'worker-2']);
  assert.deepEqual(order.slice(2), ['api', 'postgres']);
  assert.deepEqual(supervisor.processes(), []);
  assert.deepEqual(await readdir(home.run), []);
  assert.equal(started.length, 4, 'nothing was started again');
});

test('one that does not end when asked is killed', async () => {
  await supervisor.start({
    ...service('api', "setInterval(() => {}, 1000); process.on('SIGTERM', () => {});"),
    graceMs: 50,
  });
  await supervisor.stop();
  assert.equal(started[0]!.child.signalCode, 'SIGKILL');
});

test('one that fails to start says what it wrote last', async () => {
  const failing = service('idp', "console.error('Error: no such issuer'); process.exit(1)");
  await assert.rejects(supervisor.start(failing), /idp ended while it started.*no such issuer/);
});

test('a restart on purpose stops gracefully and starts again', async () => {
  await supervisor.start(service('worker-1'));
  await supervisor.restart('worker-1');
  assert.equal(started.length, 2);
  assert.equal(started[0]!.child.exitCode, 0);
  assert.equal(supervisor.processes()[0]!.pid, started[1]!.child.pid);
});

test('the next start ends what is provably its own, and nothing else', async () => {
  const idle = () => spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const ours = idle();
  const foreign = idle();
  started.push({ name: 'api', child: ours }, { name: 'idp', child: foreign });
  rememberProcess(home.run, 'api', ours.pid!);
  // The pid of a process of ours that ended long ago was given to another process.
  await writeFile(join(home.run, 'idp.pid'), JSON.stringify({ pid: foreign.pid, startedAt: 'earlier' }));
  await writeFile(join(home.run, 'temporal.pid'), 'not a record');
  const gone = once(ours, 'exit');
  assert.deepEqual(await endLeftovers(home.run), ['api']);
  await gone;
  assert.ok(!hasExited(foreign));
  assert.deepEqual(await readdir(home.run), []);
});

test('a lock is held by one, and free again once its holder is gone', async () => {
  const file = join(folder, 'lock');
  const first = await takeLock(file);
  assert.ok(first.held);
  const second = await takeLock(file);
  assert.ok(!second.held);
  assert.equal(second.by.pid, process.pid);
  await first.release();

  const holder = spawn(process.execPath, ['-e', ''], { stdio: 'ignore' });
  const record = recordOf(holder.pid!);
  await once(holder, 'exit');
  await writeFile(file, JSON.stringify(record));
  const takers = await Promise.all([takeLock(file), takeLock(file), takeLock(file)]);
  assert.equal(takers.filter((lock) => lock.held).length, 1);
});
