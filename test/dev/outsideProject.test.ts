import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import pg from 'pg';
import { hasEnded } from '../../domain/runs/run.ts';
import type { Page, Pipeline, Run } from '../../sdk/client.ts';
import { approveRun, untilItWaits } from '../support/approveRun.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';

let project: string;

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'waybill-outside-'));
  await mkdir(join(project, 'pipelines'));
  await mkdir(join(project, 'node_modules'));
  // As `npm install ../waybill zod` leaves them.
  await symlink(resolve('.'), join(project, 'node_modules/waybill'));
  await symlink(resolve('node_modules/zod'), join(project, 'node_modules/zod'));
  await write('package.json', JSON.stringify({ type: 'module' }));
  await write('tsconfig.json', JSON.stringify({ extends: 'waybill/tsconfig.json', include: ['.'] }));
  await write('fields.ts', fields);
  await write('pipelines/notes.ts', pipeline);
});

after(() => rm(project, { recursive: true }));

const fields = `import { z } from 'zod';\nexport const Note = z.strictObject({ id: z.string(), text: z.string() });\n`;
const pipeline = `import { definePipeline, ndjson, postgres, upload } from 'waybill';
import { Note } from '${'../fields.ts'}';

export default definePipeline({
  id: 'notes',
  version: 1,
  source: upload(ndjson()),
  input: Note,
  output: Note,
  transform: (note) => note,
  sink: postgres({ table: 'notes', key: ['id'] }),
});
`;

/** Waits for approval; what it says of a record is in its code. */
const wares = (
  said: string,
  id = 'wares',
  before = 'ingest',
) => `import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

export default definePipeline({
  id: '${id}',
  source: inline(),
  input: z.strictObject({ id: z.string() }),
  output: z.strictObject({ id: z.string(), said: z.string() }),
  transform: ({ id }) => ({ id, said: '${said}' }),
  sink: postgres({ table: '${id}', key: ['id'] }),
  approval: { before: '${before}', by: 'data-steward' },
});
`;

/** A deployment while runs are under way and wait: each ends on the code that it began with. */
async function changeUnderWay(stack: DevStack, output: () => string): Promise<void> {
  const alice = await stack.as('alice');
  /** What the API serves; `undefined` while it is started again. */
  const served = async (id: string) => {
    const response = await alice('/v1/pipelines').catch(() => undefined);
    const { items = [] } = response?.ok ? ((await response.json()) as Partial<Page<Pipeline>>) : {};
    return items.find((one) => one.id === id)?.definitionDigest;
  };
  const bob = await stack.as('bob');
  const trigger = (pipeline: string, id: string) =>
    alice(`/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: [{ id, ...(pipeline === 'notes' && { text: id }) }] }),
    });
  const begin = async (pipeline: string, id: string) => {
    const response = await trigger(pipeline, id);
    assert.equal(response.status, 202, await response.clone().text());
    return ((await response.json()) as Run).id;
  };
  const ended = async (id: string) => {
    await until(`${id} ends`, async () =>
      hasEnded(((await (await alice(`/v1/runs/${id}`)).json()) as Run).state),
    );
    return ((await (await alice(`/v1/runs/${id}`)).json()) as Run).state;
  };

  // Saved together: one deployment, or two where the machine is busy in between.
  const deployBoth = async (said: string) => {
    const before = [await served('crates'), await served('wares')];
    await write('pipelines/crates.ts', wares(said, 'crates', 'publish'));
    await write('pipelines/wares.ts', wares(said));
    await until(`${said} is served`, async () => {
      const now = [await served('crates'), await served('wares')];
      return now.every((digest, i) => digest !== undefined && digest !== before[i]);
    });
  };
  await deployBoth('first');
  const waiting = await Promise.all(['a', 'b', 'c'].map((id) => begin('wares', id)));
  const staged = await begin('crates', 'staged');
  for (const id of [...waiting, staged]) await untilItWaits(bob, id);
  const underWay = await Promise.all(Array.from({ length: 10 }, (_, i) => begin('wares', `under-${i}`)));
  await deployBoth('second');
  const all = [...waiting, staged, ...underWay, await begin('wares', 'after')];
  for (const id of all) await approveRun(bob, id);
  for (const id of all) assert.equal(await ended(id), 'completed', id);
  const database = new pg.Client({ connectionString: stack.info().databaseUrl });
  await database.connect();
  try {
    const { rows } = await database.query(
      `SELECT said, count(*)::int AS n FROM (SELECT said FROM wares UNION ALL SELECT said FROM crates) AS stored
       GROUP BY said ORDER BY said`,
    );
    assert.deepEqual(rows, [
      { said: 'first', n: 14 },
      { said: 'second', n: 1 },
    ]);
  } finally {
    await database.end();
  }

  // A pipeline that its table cannot follow is refused alone: by code, file and remedy.
  await write(
    'pipelines/wares.ts',
    wares('third').replace('said: z.string()', 'said: z.int()').replace("'third'", '3'),
  );
  await until('it is loaded again', () => /wares\.ts\) starts no run[\s\S]*Loaded\./.test(output()));
  assert.match(
    output(),
    /wares \(.*pipelines\/wares\.ts\) starts no run: SinkIncompatible: table wares: column said is text, not bigint; name another table/,
  );
  const refused = await trigger('wares', 'refused');
  assert.equal(refused.status, 503);
  assert.match(await refused.text(), /"code":"PipelineRefused".*column said is text, not bigint/);
  assert.equal(await ended(await begin('notes', 'fine')), 'completed');
}

function write(name: string, text: string): Promise<void> {
  return writeFile(join(project, name), text);
}

test('a project outside the clone type-checks with the tsconfig that Waybill ships', async () => {
  const tsc = resolve('node_modules/typescript/bin/tsc');
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, '--noEmit'], { cwd: project }).catch(
    (error) => error,
  );
  assert.equal(stdout, '');
});

test('waybill dev --watch waits for a broken project, and reloads only for files that it loads', async () => {
  await write('pipelines/notes.ts', `${pipeline}\nexport const broken = ;\n`);
  let output = '';
  const starting = startDevStack({
    project,
    watch: true,
    workers: 1,
    onOutput: (text) => {
      output += text;
    },
  });
  let stack: DevStack | undefined;
  try {
    await until('the fault is said', () => /does not load: .*notes\.ts/.test(output));
    await write('pipelines/notes.ts', pipeline);
    stack = await starting;
    const before = stack.info().processes;

    await write('fields.test.ts', '// no part of it');
    await write('pipelines/notes.test.ts', '// no part of it');
    // Long enough for a change to be noticed; that nothing happens has no event.
    await new Promise((done) => setTimeout(done, 1_000));
    assert.deepEqual(stack.info().processes, before);
    assert.doesNotMatch(output, /changed; loading/);

    await write('fields.ts', `${fields}// changed\n`);
    await until('it is loaded again', () => /fields\.ts changed.*Loaded\./s.test(output));
    const apiOf = (all: typeof before) => all.find(({ name }) => name === 'api')!.pid;
    assert.notEqual(apiOf(stack.info().processes), apiOf(before));
    await changeUnderWay(stack, () => output);
  } finally {
    await (stack ?? (await starting.catch(() => undefined)))?.stop();
  }
});
