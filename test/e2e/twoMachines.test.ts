import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { untilEnded } from '../../bench/smallRun.ts';
import { listObjects } from '../../connectors/s3/s3Objects.ts';
import type { S3Requests } from '../../connectors/s3/s3Requests.ts';
import { nodeFlags, packageFile } from '../../dev/stack/nodeService.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { noS3Server, type S3Server, startS3Server } from '../support/s3Server.ts';

/** Settings of a worker that name a file or folder of the machine on which it runs. */
const placesOfWorker = [
  'WAYBILL_DATABASE_PASSWORD_FILE',
  'WAYBILL_RELAY_DATABASE_PASSWORD_FILE',
  'WAYBILL_PROJECT',
  'WAYBILL_KEY_ROOTS',
  'WAYBILL_WORKLOAD_KEY',
  'WAYBILL_WEBHOOK_KEYS',
  'WAYBILL_WORKFLOW_BUNDLE',
  'WAYBILL_OBJECTS_CREDENTIALS_FILE',
];

/**
 * An API on one machine and a worker on another, which share a database, Temporal and a bucket. The worker has copies of the
 * secrets and of the project that a deployment gives it, and no path of the API’s machine.
 */
describe('API and worker on two machines', { skip: noS3Server, timeout: 300_000 }, () => {
  let server: S3Server;
  let requests: S3Requests;
  let stack: DevStack;
  let machine: string;
  let worker: ChildProcess;
  let output = '';

  before(async () => {
    server = await startS3Server();
    const made = await server.newBucket();
    requests = made.requests;
    stack = await startDevStack({
      project: fileURLToPath(new URL('../support/project', import.meta.url)),
      env: {
        WAYBILL_WORKERS: '0',
        WAYBILL_OBJECTS: `s3://${made.bucket}/waybill`,
        WAYBILL_OBJECTS_ENDPOINT: server.endpoint,
        WAYBILL_OBJECTS_CREDENTIALS_FILE: server.credentialsFile,
      },
    });
    machine = await mkdtemp(join(tmpdir(), 'waybill-machine-'));
    worker = await startWorker();
  });
  after(async () => {
    if (worker && worker.exitCode === null) {
      worker.kill('SIGTERM');
      await once(worker, 'exit');
    }
    await stack?.stop();
    await server?.stop();
    if (machine) await rm(machine, { recursive: true, force: true });
  });

  async function startWorker(): Promise<ChildProcess> {
    const given = JSON.parse(await readFile(join(stack.home, 'keys', 'worker.json'), 'utf8'));
    const env: Record<string, string> = { PATH: process.env.PATH ?? '', ...given, WAYBILL_FILE_ROOTS: '' };
    for (const name of placesOfWorker) {
      const there = join(machine, name, basename(given[name]));
      await mkdir(join(machine, name));
      // The project imports the package, which is installed here.
      if (name === 'WAYBILL_PROJECT') continue;
      await cp(given[name], there, { recursive: true });
      env[name] = there;
    }
    for (const [name, value] of Object.entries(env))
      assert.ok(!value.includes(stack.home), `${name} is a place of the other machine: ${value}`);
    const child = spawn(process.execPath, [...nodeFlags, packageFile('workers/main.ts')], {
      env,
      cwd: machine,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [child.stdout, child.stderr])
      stream!.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    const exited = once(child, 'exit').then(() => {
      throw new Error(`the worker ended: ${output}`);
    });
    await Promise.race([once(child, 'message'), exited]);
    exited.catch(() => {});
    return child;
  }

  async function upload(
    body: string,
  ): Promise<{ id: string; state: string; counts: Record<string, number> }> {
    const alice = await stack.as('alice');
    const response = await alice('/v1/pipelines/readings/runs', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    const { id } = (await response.json()) as { id: string };
    assert.equal(response.status, 202);
    await untilEnded(alice, id);
    return (await alice(`/v1/runs/${id}`)).json() as never;
  }

  it('a run of an upload is completed through the bucket alone', async () => {
    const lines = Array.from({ length: 200 }, (_, n) => JSON.stringify({ sensor: `s${n}`, value: n }));
    const run = await upload(`${lines.join('\n')}\n`);
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.equal(run.counts.stored, 200);
    const keys: string[] = [];
    for await (const { key } of listObjects(requests, { prefix: 'waybill/' })) keys.push(key);
    assert.ok(
      keys.some((key) => key.includes(run.id)),
      'its batches lie in the bucket',
    );
    assert.deepEqual(await readdir(join(stack.home, 'objects')), []);
    assert.deepEqual(await readdir(machine), [...placesOfWorker].sort());
  });
});
