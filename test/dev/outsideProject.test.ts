import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
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
  } finally {
    await (stack ?? (await starting.catch(() => undefined)))?.stop();
  }
});
