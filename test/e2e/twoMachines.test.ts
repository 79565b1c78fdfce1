import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parquetReadObjects } from 'hyparquet';
import pg from 'pg';
import { untilEnded } from '../../bench/smallRun.ts';
import { getObject, listObjects } from '../../connectors/s3/s3Objects.ts';
import type { S3Requests } from '../../connectors/s3/s3Requests.ts';
import { nodeFlags, packageFile } from '../../dev/stack/nodeService.ts';
import { ensureDatabase } from '../../dev/stack/postgresRoles.ts';
import { startWaybill } from '../cli/waybillProcess.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { makeProject, type TestProject } from '../support/makeProject.ts';
import { noS3Server, type S3Server, startS3Server } from '../support/s3Server.ts';
import { until } from '../support/until.ts';

/** Reads new objects of a bucket. Batches of two records, so that few records make many batches. */
function lakePipeline(url: string, endpoint: string): string {
  return `
import { csv, definePipeline, objectStore, postgres } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'lake',
  source: objectStore(csv(), {
    url: '${url}', glob: '**/*.csv', cursor: 'key', endpoint: '${endpoint}', credentials: 'lake',
  }),
  input: z.strictObject({ id: z.string(), n: z.coerce.number() }),
  sink: postgres({ table: 'lake', key: ['id'] }),
  rowSource: true,
  limits: { batchRecords: 2 },
});
`;
}

/** Writes files to the bucket, two records each. */
function archivePipeline(url: string, endpoint: string): string {
  return `
import { definePipeline, ndjson, objectFiles, upload } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'archive',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.int() }),
  sink: objectFiles({ url: '${url}', format: 'parquet', endpoint: '${endpoint}', credentials: 'lake' }),
  limits: { batchRecords: 2 },
});
`;
}

const visitPipeline = `
import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'visits',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.int() }),
  sink: postgres({ table: 'visits', key: ['id'], shards: ['east', 'west'] }),
});
`;

const parcelPipeline = `
import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'parcels',
  source: upload(ndjson()),
  input: z.strictObject({ id: z.string(), grams: z.number() }),
  sink: postgres({ table: 'parcels', key: ['id'] }),
});
`;

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
  'WAYBILL_CREDENTIALS',
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
  let credentials: string;
  let project: TestProject;
  let output = '';

  before(async () => {
    server = await startS3Server();
    const made = await server.newBucket();
    requests = made.requests;
    credentials = await mkdtemp(join(tmpdir(), 'waybill-credentials-'));
    await writeFile(join(credentials, 'lake'), server.credentials);
    project = await makeProject({
      from: ['test/support/project'],
      files: {
        'pipelines/lake.ts': lakePipeline(`s3://${made.bucket}/lake/`, server.endpoint),
        'pipelines/archive.ts': archivePipeline(`s3://${made.bucket}/archive/`, server.endpoint),
        'pipelines/parcels.ts': parcelPipeline,
        'pipelines/visits.ts': visitPipeline,
      },
    });
    stack = await startDevStack({
      project: project.path,
      env: {
        WAYBILL_CREDENTIALS: credentials,
        WAYBILL_EGRESS_ALLOW: server.host,
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
    await project?.remove();
    for (const folder of [machine, credentials])
      if (folder) await rm(folder, { recursive: true, force: true });
  });

  async function startWorker(): Promise<ChildProcess> {
    const given = JSON.parse(await readFile(join(stack.home, 'keys', 'worker.json'), 'utf8'));
    // The API writes it with its first key.
    await until('the roots of the keys', () => existsSync(given.WAYBILL_KEY_ROOTS));
    const env: Record<string, string> = { PATH: process.env.PATH ?? '', ...given, WAYBILL_FILE_ROOTS: '' };
    for (const name of placesOfWorker) {
      const there = join(machine, name, basename(given[name]));
      await mkdir(join(machine, name));
      // The project imports the package, which is installed here.
      if (name === 'WAYBILL_PROJECT') continue;
      await cp(given[name], there, { recursive: true });
      env[name] = there;
    }
    // Optional: definitions of before, which no run of this test needs.
    delete env.WAYBILL_DEFINITIONS;
    env.WAYBILL_STAGE_CACHE = join(machine, 'stages');
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

  interface Ended {
    id: string;
    state: string;
    counts: Record<string, number>;
  }

  async function run(pipeline: string, init: RequestInit): Promise<Ended> {
    const alice = await stack.as('alice');
    const response = await alice(`/v1/pipelines/${pipeline}/runs`, { method: 'POST', ...init });
    const { id } = (await response.json()) as { id: string };
    assert.equal(response.status, 202);
    await untilEnded(alice, id);
    return (await alice(`/v1/runs/${id}`)).json() as never;
  }

  it('a run of an upload is completed through the bucket alone', async () => {
    // Enough for batches that are too large for their rows in the database.
    const lines = Array.from({ length: 20_000 }, (_, n) => JSON.stringify({ id: `p${n}`, grams: n }));
    const { id, state, counts } = await run('parcels', {
      body: `${lines.join('\n')}\n`,
      headers: { 'content-type': 'application/x-ndjson' },
    });
    assert.equal(state, 'completed', output);
    assert.equal(counts.stored, 20_000);
    const keys: string[] = [];
    for await (const { key } of listObjects(requests, { prefix: 'waybill/' })) keys.push(key);
    assert.ok(
      keys.some((key) => key.includes(id)),
      'its batches lie in the bucket',
    );
    assert.deepEqual(await readdir(join(stack.home, 'objects')), []);
    assert.deepEqual(await readdir(machine), [...placesOfWorker, 'stages'].sort());
  });

  it('a run writes its rows as files, which its manifest names', async () => {
    const lines = [1, 2, 3, 4, 'five', 5].map((id) => JSON.stringify({ id }));
    const body = { body: lines.join('\n'), headers: { 'content-type': 'application/x-ndjson' } };
    const { id, state, counts } = await run('archive', body);
    assert.deepEqual([state, counts.stored, counts.rejected], ['completed', 5, 1], output);
    const read = async (key: string) => (await getObject(requests, key)).body.arrayBuffer();
    const prefix = `archive/acme/archive/${id}/`;
    const manifest = JSON.parse(Buffer.from(await read(`${prefix}_manifest.json`)).toString());
    assert.equal(manifest.rows, 5);
    const found: string[] = [];
    for await (const { key } of listObjects(requests, { prefix })) found.push(key);
    assert.deepEqual(found, [
      ...manifest.files.map(({ key }: { key: string }) => key),
      `${prefix}_manifest.json`,
    ]);
    const ids: unknown[] = [];
    for (const { key } of manifest.files) {
      const file = await read(key);
      ids.push(...(await parquetReadObjects({ file })).map((row) => Number(row.id)));
    }
    assert.deepEqual(ids, [1, 2, 3, 4, 5]);
  });

  it('a run reads the objects that came since the run before, and a dead letter says in which one its record is', async () => {
    const put = async (key: string, text: string) =>
      (await requests.send({ method: 'PUT', key, body: Buffer.from(text) })).body.dump();
    await put('lake/2026/1.csv', 'id,n\na,1\nb,2\nc,3\n');
    await put('lake/2026/2.csv', 'n,id\n4,d\nfive,e\n6,f');
    await put('lake/2026/notes.txt', 'not a table');
    const first = await run('lake', {});
    assert.deepEqual([first.state, first.counts.stored, first.counts.rejected], ['completed', 5, 1], output);

    const nothing = await run('lake', {});
    assert.deepEqual([nothing.state, nothing.counts.read], ['completed', 0]);

    await put('lake/2026/3.csv', 'id,n\ng,7\n');
    const second = await run('lake', {});
    assert.deepEqual([second.state, second.counts.stored], ['completed', 1]);

    const database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    const { rows: stored } = await database.query('SELECT id, n, _source FROM public.lake ORDER BY id');
    const { rows: letters } = await database.query(
      `SELECT source, line, position, raw FROM waybill.dead_letter WHERE pipeline = 'lake'`,
    );
    await database.end();
    assert.deepEqual(
      stored.map(({ id, n }) => `${id}${n}`),
      ['a1', 'b2', 'c3', 'd4', 'f6', 'g7'],
    );
    assert.deepEqual(
      stored.map(({ _source }) => _source.at(-5)),
      ['1', '1', '1', '2', '2', '3'],
    );
    assert.equal(letters.length, 1);
    assert.match(letters[0].source, /^s3:\/\/b-[^/]+\/lake\/2026\/2\.csv$/);
    assert.deepEqual([letters[0].line, letters[0].position, String(letters[0].raw)], ['3', '4', 'five,e']);
  });

  it('a run writes to two databases, and waits for one that is away', async () => {
    const main = stack.info().databaseUrl;
    const urlOf = async (role: string, database: string) => {
      const url = new URL(main);
      url.pathname = `/${database}`;
      url.username = role;
      url.password = (await readFile(join(stack.home, 'keys/database', role), 'utf8')).trimEnd();
      return url.href;
    };
    const init = (ids: readonly number[]) => ({
      body: ids.map((id) => JSON.stringify({ id })).join('\n'),
      headers: { 'content-type': 'application/x-ndjson' },
    });
    const alice = await stack.as('alice');
    const start = (ids: readonly number[]) =>
      alice('/v1/pipelines/visits/runs', { method: 'POST', ...init(ids) });
    const refused = (await (await start([1])).json()) as { code: string };
    assert.equal(refused.code, 'PipelineRefused');

    const ofWorker = join(machine, 'WAYBILL_CREDENTIALS', basename(credentials));
    for (const shard of ['east', 'west']) {
      await ensureDatabase(main, `visits_${shard}`);
      await writeFile(join(ofWorker, shard), await urlOf('waybill_worker', `visits_${shard}`));
      await writeFile(
        join(credentials, `${shard}.migrator`),
        await urlOf('waybill_migrator', `visits_${shard}`),
      );
    }
    const applied = await startWaybill(
      ['apply', project.path, '--database', await urlOf('waybill_migrator', 'waybill')],
      {
        WAYBILL_HOME: stack.home,
        WAYBILL_CREDENTIALS: credentials,
      },
    ).ended;
    assert.equal(applied.code, 0, applied.stderr);
    const ids = [1, 2, 3, 4, 5, 6, 7, 8];
    const { state, counts } = await run('visits', init(ids));
    assert.deepEqual([state, counts.stored], ['completed', 8], output);

    const database = new pg.Client({ connectionString: main });
    await database.connect();
    try {
      await database.query(`ALTER DATABASE visits_west ALLOW_CONNECTIONS false`);
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'visits_west'`,
      );
      const { id } = (await (await start([...ids, 9, 10, 11, 12])).json()) as { id: string };
      const view = async () =>
        (await (await alice(`/v1/runs/${id}`)).json()) as Ended & {
          retrying?: { code: string; message: string };
        };
      await until('a failed attempt', async () => (await view()).retrying !== undefined);
      const { retrying } = await view();
      assert.equal(retrying!.code, 'SinkUnavailable');
      assert.match(retrying!.message, /shard “west”\.$/);
      await database.query(`ALTER DATABASE visits_west ALLOW_CONNECTIONS true`);
      await untilEnded(alice, id);
      const ended = await view();
      assert.deepEqual(
        [ended.state, ended.counts.stored, ended.counts.unchanged],
        ['completed', 4, 8],
        output,
      );
    } finally {
      await database.end();
    }
    const found: number[] = [];
    for (const shard of ['east', 'west']) {
      const part = new pg.Client({ connectionString: new URL(`/visits_${shard}`, main).href });
      await part.connect();
      const { rows } = await part.query(`SELECT id FROM visits WHERE _tenant = 'acme'`);
      await part.end();
      assert.ok(rows.length > 0);
      found.push(...rows.map((row) => row.id));
    }
    assert.deepEqual(
      found.map(Number).sort((one, other) => one - other),
      [...ids, 9, 10, 11, 12],
    );
  });
});
