import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadProject } from '../../engine/project/loadProject.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

describe('a project', () => {
  const homes: string[] = [];
  after(() => Promise.all(homes.map((home) => rm(home, { recursive: true }))));

  /** A folder of its own, as a user has it: packages below `node_modules`, each file in `pipelines`. */
  async function setUp(files: Record<string, string>): Promise<string> {
    const home = await mkdtemp(join(tmpdir(), 'waybill-project-'));
    homes.push(home);
    await mkdir(join(home, 'node_modules'));
    await mkdir(join(home, 'pipelines'));
    await symlink(repository, join(home, 'node_modules/waybill'));
    await symlink(join(repository, 'node_modules/zod'), join(home, 'node_modules/zod'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(home, 'pipelines', name), text);
    return home;
  }

  const pipeline = (id: string, { table = id, key = "['a']", field = 'z.string()', before = '' } = {}) => `
    import { definePipeline, inline, postgres } from 'waybill';
    import { z } from 'zod';
    ${before}
    export default definePipeline({
      id: '${id}', source: inline(), input: z.strictObject({ a: ${field} }),
      sink: postgres({ table: '${table}', key: ${key} }),
    });`;
  const digestOf = async (files: Record<string, string>) =>
    (await loadProject(await setUp(files))).find('one')?.digest;

  test('lists its pipelines by id, without their tests', async () => {
    const project = await loadProject(
      await setUp({ 'b.ts': pipeline('one'), 'a.ts': pipeline('two'), 'a.test.ts': 'throw 1' }),
    );
    assert.deepEqual(
      project.list().map((p) => p.manifest.id),
      ['one', 'two'],
    );
    assert.equal(project.find('three'), undefined);
  });

  test('gives exactly the definition that was asked for', async () => {
    const project = await loadProject(await setUp({ 'one.ts': pipeline('one') }));
    const { digest } = project.find('one')!;
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.equal(project.require('one', digest).manifest.id, 'one');
    assert.throws(() => project.require('one', digest.replace(/./, 'x')), { code: 'DefinitionUnavailable' });
    assert.throws(() => project.require('two', digest), { code: 'DefinitionUnavailable' });
  });

  test('its digests do not depend on where it lies, on comments, white space or types', async () => {
    const digest = await digestOf({ 'one.ts': pipeline('one') });
    assert.equal(
      await digestOf({ 'one.ts': pipeline('one', { before: '// why\n\n  type A = string;' }) }),
      digest,
    );
  });

  test('changed code is a changed definition, also in a file that it imports', async () => {
    const using = pipeline('one', { before: "import { n } from './n.mjs'; export const m = n();" });
    const digest = await digestOf({ 'one.ts': using, 'n.mjs': 'export const n = () => 1;' });
    assert.notEqual(await digestOf({ 'one.ts': using, 'n.mjs': 'export const n = () => 2;' }), digest);
    assert.notEqual(await digestOf({ 'one.ts': pipeline('one') }), digest);
  });

  test('the same code with another manifest is another definition', async () => {
    const reading = pipeline('one', { field: 'schema', before: "import { schema } from './schema.cjs';" });
    const schema = (type: string) => `exports.schema = require('zod').z.${type}();`;
    const digest = await digestOf({ 'one.ts': reading, 'schema.cjs': schema('string') });
    assert.notEqual(await digestOf({ 'one.ts': reading, 'schema.cjs': schema('uuid') }), digest);
  });

  test('pipelines may share a table', async () => {
    const project = await loadProject(
      await setUp({ 'a.ts': pipeline('one'), 'b.ts': pipeline('two', { table: 'one' }) }),
    );
    assert.equal(project.list().length, 2);
  });

  const wrong: [string, Record<string, string>, RegExp][] = [
    ['no pipeline', {}, /holds no \*\.ts/],
    [
      'the same id twice',
      { 'a.ts': pipeline('one'), 'b.ts': pipeline('one') },
      /b\.ts: id: .*a\.ts has the same id/,
    ],
    [
      'one table with two keys',
      { 'a.ts': pipeline('one'), 'b.ts': pipeline('two', { table: 'one', key: "'row-digest'" }) },
      /another key/,
    ],
    [
      'one column with two types',
      { 'a.ts': pipeline('one'), 'b.ts': pipeline('two', { table: 'one', field: 'z.uuid()' }) },
      /another a$/,
    ],
    ['a syntax error', { 'a.ts': 'export default {' }, /a\.ts: does not load/],
    ['a module that throws', { 'a.ts': 'throw new Error("mine")' }, /a\.ts: does not load: mine/],
    ['a module that is not there', { 'a.ts': "import './gone.ts';" }, /a\.ts: does not load/],
    ['another export', { 'a.ts': 'export default { id: "a" }' }, /must `export default definePipeline/],
    ['a definition that is wrong', { 'a.ts': pipeline('One') }, /a\.ts: id: must be/],
  ];
  for (const [name, files, message] of wrong) {
    test(`${name} is an error that names the file`, async () => {
      await assert.rejects(loadProject(await setUp(files)), { code: 'DefinitionInvalid', message });
    });
  }

  test('a folder that is not there is an error', async () => {
    await assert.rejects(loadProject(join(await setUp({}), 'gone')), { code: 'DefinitionInvalid' });
  });

  test('the example moves without changing', async () => {
    const home = await setUp({});
    await cp(join(repository, 'examples/acme/pipelines'), join(home, 'pipelines'), { recursive: true });
    const [here, there] = await Promise.all([
      loadProject(join(repository, 'examples/acme')),
      loadProject(home),
    ]);
    assert.deepEqual(
      there.list().map((p) => p.digest),
      here.list().map((p) => p.digest),
    );
    assert.deepEqual(
      here.list().map((p) => p.manifest.id),
      ['birdstrikes', 'countries', 'orders'],
    );
  });
});
