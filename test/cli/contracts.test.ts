import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { makeProject, type TestProject } from '../support/makeProject.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';
import { documents, type Ended, runWaybill } from './waybillProcess.ts';

const pipeline = (version: number, fields: string, sink = '') => `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: 'crates', version: ${version}, source: inline(), input: z.strictObject({ id: z.string(), ${fields} }),
  sink: postgres({ table: 'crates', key: ['id'], ${sink} }),
});
`;

describe('contracts', () => {
  let postgres: TestPostgres;
  let project: TestProject;

  before(async () => {
    postgres = await startPostgresForTest();
    project = await makeProject({ files: { 'pipelines/crates.ts': pipeline(1, 'n: z.int32()') } });
  });
  after(async () => {
    await project?.remove();
    await postgres?.stop();
  });

  const waybill = (folder: string, command: string, ...more: string[]): Promise<Ended> =>
    runWaybill([command, folder, ...more], { WAYBILL_DATABASE_URL: postgres.migratorUrl });

  /** A folder of its own for each text, since a module that was loaded stays as it is. */
  async function withCode(text: string): Promise<string> {
    const next = await makeProject({ files: { 'pipelines/crates.ts': text } });
    const { name } = JSON.parse(await readFile(join(project.path, 'package.json'), 'utf8'));
    await writeFile(
      join(next.path, 'package.json'),
      JSON.stringify({ type: 'module', name: name ?? 'crates' }),
    );
    const file = join(project.path, 'contracts/crates.json');
    await mkdir(join(next.path, 'contracts'));
    await writeFile(join(next.path, 'contracts/crates.json'), await readFile(file));
    return next.path;
  }

  it('are written once, and applied', async () => {
    await writeFile(join(project.path, 'package.json'), '{ "type": "module", "name": "crates" }');
    const written = await waybill(project.path, 'contracts');
    assert.equal(written.stdout, 'Written: contracts/crates.json.\n', written.stderr);
    assert.equal((await waybill(project.path, 'contracts')).stdout, 'Unchanged: crates.\n');
    const applied = await waybill(project.path, 'apply');
    assert.equal(applied.code, 0, applied.stderr);
    assert.match((await waybill(project.path, 'plan')).stdout, /The pipelines are as they were applied/);
  });

  it('let a compatible change through, with the column that it adds', async () => {
    const folder = await withCode(pipeline(1, 'n: z.int32(), note: z.string().optional()'));
    const [plan] = documents<{ pipelines: { refusal: string | null; tableChanges: { kind: string }[] }[] }>(
      await waybill(folder, 'plan', '--json'),
    );
    assert.equal(plan!.pipelines[0]!.refusal, null);
    assert.deepEqual(
      plan!.pipelines[0]!.tableChanges.map(({ kind }) => kind),
      ['add'],
    );
    assert.equal((await waybill(folder, 'contracts')).code, 0);
  });

  for (const [what, version, code, fields] of [
    ['a breaking change', 1, 'ContractBroken', ''],
    ['a change that the table cannot follow', 2, 'SinkIncompatible', 'n: z.string()'],
  ] as const)
    it(`reject ${what} before anything is applied, and name pipeline, file and remedy`, async () => {
      const folder = await withCode(pipeline(version, fields));
      const planned = await waybill(folder, 'plan');
      assert.equal(planned.code, 1);
      assert.match(planned.stdout, /apply rejects it/);
      const applied = await waybill(folder, 'apply');
      assert.equal(applied.code, 1);
      assert.match(applied.stderr, new RegExp(`^${code}: crates \\(.*pipelines/crates.ts\\): `));
      assert.match(applied.stderr, /raise version|name another table/);
      assert.equal((await waybill(project.path, 'plan')).code, 0);
      if (version === 1) assert.equal((await waybill(folder, 'contracts')).code, 1);
    });

  it('let a breaking change through with a new version', async () => {
    const folder = await withCode(pipeline(2, 'm: z.int()', "renamed: { n: 'm' }"));
    assert.equal((await waybill(folder, 'plan')).code, 0);
    assert.equal((await waybill(folder, 'apply')).code, 0);
    assert.equal((await waybill(project.path, 'apply')).code, 1);
  });
});

describe('docs/contracts.md', () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startPostgresForTest();
  });
  after(() => postgres?.stop());

  it('does and says what it shows', async () => {
    const page = await readFile('docs/contracts.md', 'utf8');
    const folders: TestProject[] = [];
    let folder = '';
    let said = '';
    for (const [, language, text] of page.matchAll(/```(\w+)\n([\s\S]*?)```/g)) {
      if (language === 'ts') {
        const before = folder;
        const name = text!.split('\n')[0]!.slice(3);
        const made = await makeProject({
          files: { [name]: text!, 'package.json': '{ "type": "module", "name": "parcels" }' },
        });
        folders.push(made);
        folder = made.path;
        const contract = before && (await readFile(join(before, 'contracts/parcels.json'), 'utf8'));
        const path = join(folder, 'contracts/parcels.json');
        await mkdir(dirname(path));
        if (contract) await writeFile(path, contract);
      } else if (language === 'sh') {
        for (const line of text!.trim().split('\n')) {
          const [command, comment] = line.replace('npx waybill ', '').split(/\s+#\s*/);
          const ended = await runWaybill([command!, folder], { WAYBILL_DATABASE_URL: postgres.migratorUrl });
          assert.equal(ended.code, Number(/exit code (\d)/.exec(comment ?? '')?.[1] ?? 0), ended.stderr);
          said = stripVTControlCharacters(ended.stdout);
        }
      } else for (const line of text!.trim().split('\n')) assert.ok(said.includes(line), `${line}\n${said}`);
    }
    assert.equal(folders.length, 3);
    for (const made of folders) await made.remove();
  });
});
