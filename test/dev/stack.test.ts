import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { type DevJson, readDevJson } from '../../cli/embedded/devJson.ts';
import { obtainToken } from '../../cli/embedded/obtainToken.ts';
import { recordOf } from '../../cli/processRecord.ts';
import { openHome } from '../../dev/stack/home.ts';
import { clusterFolder } from '../../dev/stack/postgresCluster.ts';
import { unprivilegedUser } from '../../dev/stack/unprivileged.ts';

let home: string;
const running: Dev[] = [];

before(async () => {
  home = join(await mkdtemp(join(tmpdir(), 'waybill-test-')), 'home');
});

after(async () => {
  for (const { process } of running) process.kill('SIGTERM');
  await Promise.all(running.map((dev) => dev.ended));
  await rm(await clusterFolder(await openHome(home), unprivilegedUser()), { recursive: true, force: true });
  await rm(join(home, '..'), { recursive: true });
});

interface Dev {
  process: ChildProcess;
  said: string[];
  /** Resolves when a line matches, also one that was said before; rejects when it ends first. */
  says(pattern: RegExp): Promise<void>;
  ended: Promise<number | NodeJS.Signals>;
}

function startDev(env: Record<string, string> = {}): Dev {
  const child = spawn(process.execPath, ['cli/bin.js', 'dev', 'examples/acme'], {
    env: { ...process.env, ...freePorts, WAYBILL_HOME: home, NODE_ENV: 'test', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on('line', (line) => {
      said.push(line);
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, 'exit').then(([code, signal]) => code ?? signal);
  const dev: Dev = {
    process: child,
    said,
    ended,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (said.some((line) => pattern.test(line))) resolve();
        };
        listeners.add(look);
        look();
        void ended.then(() => reject(new Error(`It ended without saying ${pattern}: ${said.join('\n')}`)));
      }),
  };
  running.push(dev);
  return dev;
}

const freePorts = Object.fromEntries(
  ['API', 'ISSUER', 'TEMPORAL', 'TEMPORAL_UI', 'DATABASE', 'METRICS'].map((part) => [
    `WAYBILL_${part}_PORT`,
    '0',
  ]),
);

function devJson(): DevJson {
  const content = readDevJson(join(home, 'dev.json'));
  assert.ok(content, 'dev.json is there');
  return content;
}

function pidOf(name: string): number {
  return devJson().processes.find((process) => process.name === name)!.pid;
}

test('the stack starts, mends itself, survives its supervisor and leaves nothing behind', async (t) => {
  const first = startDev();
  await first.says(/PostgreSQL ready/);
  // Stopped where it is, it cannot be ready before the other has looked.
  first.process.kill('SIGSTOP');
  const early = startDev();
  assert.equal(await early.ended, 1);
  first.process.kill('SIGCONT');
  assert.match(early.said[0]!, new RegExp(`being started by process ${first.process.pid}\\. Wait`));
  await first.says(/Waybill is ready/);

  await t.test('everything that dev.json names is there', async () => {
    const { apiUrl, issuerUrl, temporalUiUrl, processes } = devJson();
    assert.deepEqual(processes.map(({ name }) => name).sort(), [
      'api',
      'idp',
      'postgres',
      'temporal',
      'worker-1',
      'worker-2',
    ]);
    for (const { pid, name } of processes) assert.ok(recordOf(pid), name);
    const { token } = await obtainToken(issuerUrl, 'alice');
    const pipelines = await fetch(`${apiUrl}/v1/pipelines`, {
      headers: { authorization: `Bearer ${token}` },
    });
    assert.equal(pipelines.status, 200);
    assert.match(await pipelines.text(), /birdstrikes/);
    assert.equal((await fetch(temporalUiUrl)).status, 200);
  });

  await t.test('a second supervisor of the same home is refused in one line', async () => {
    const second = startDev();
    assert.equal(await second.ended, 1);
    assert.equal(second.said.length, 1);
    assert.match(second.said[0]!, new RegExp(`served by process ${first.process.pid} already`));
  });

  await t.test('a killed worker is replaced', async () => {
    const before = pidOf('worker-1');
    process.kill(before, 'SIGKILL');
    await first.says(/worker-1 is back/);
    assert.notEqual(pidOf('worker-1'), before);
  });

  const before = devJson();
  await t.test(
    'after its supervisor was killed, the next start ends the rest and serves again',
    async (t) => {
      first.process.kill('SIGKILL');
      await first.ended;
      const started = performance.now();
      const next = startDev();
      await next.says(/Waybill is ready/);
      t.diagnostic(`second start: ${((performance.now() - started) / 1000).toFixed(1)} s`);
      assert.match(next.said.join('\n'), /Ended what an earlier start left behind: .*postgres.*temporal/);
      for (const { name, pid } of before.processes) assert.equal(recordOf(pid), undefined, name);
      assert.equal(devJson().issuerUrl, before.issuerUrl, 'every identity is the same');
    },
  );

  await t.test('SIGTERM stops everything', async () => {
    const { processes } = devJson();
    const last = running.at(-1)!;
    last.process.kill('SIGTERM');
    assert.equal(await last.ended, 0);
    for (const { name, pid } of processes) assert.equal(recordOf(pid), undefined, name);
    assert.equal(readDevJson(join(home, 'dev.json')), undefined);
    assert.deepEqual(await readdir(join(home, 'run')), []);
    const log = await readFile(join(home, 'logs', 'postgres.log'), 'utf8');
    assert.match(log.trimEnd().split('\n').at(-1)!, /database system is shut down/);
  });
});

test('production and unknown settings are refused in one line', async () => {
  const production = startDev({ NODE_ENV: 'production' });
  assert.equal(await production.ended, 2);
  assert.match(production.said[0]!, /for development/);
  const misspelt = startDev({ WAYBILL_API_PROT: '1' });
  assert.equal(await misspelt.ended, 2);
  assert.match(misspelt.said[0]!, /WAYBILL_API_PORT\?/);
  for (const { said } of [production, misspelt]) assert.equal(said.length, 1);
});
