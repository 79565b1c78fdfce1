import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import pg from 'pg';
import { describeBinding } from '../../domain/contracts/contract.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
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

  it('plan says which open runs and schedules a deployment touches', async () => {
    const [before] = documents<{ touched: object[] }>(await waybill(project.path, 'plan', '--json'));
    assert.deepEqual(before!.touched, []);
    const database = new pg.Client({ connectionString: postgres.superuserUrl });
    await database.connect();
    const runs = [
      ['crates', 'running'],
      ['crates', 'running'],
      ['crates', 'awaiting-approval'],
      ['boxes', 'suspended'],
    ] as const;
    for (const [i, [pipeline, state]] of runs.entries())
      await database.query(
        `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                  parameters, source, grant_jws, txn, arrival)
         VALUES ($1, 'acme', $2, 1, 'before', '{}', $3, 'prn_1', '{}', '{}', '{}', 'grant', 't', 'sealed')`,
        [`${pipeline}-${i}`, pipeline, state],
      );
    const [{ manifest, digest, ...loaded }] = (await loadProject(project.path)).list() as [LoadedPipeline];
    const bound = createHash('sha256')
      .update(describeBinding({ manifest, ...loaded }))
      .digest('hex');
    const schedules = [
      ['same', 'crates', digest, bound],
      ['code', 'crates', 'before', bound],
      ['terms', 'crates', 'before', 'other'],
      ['exact', 'crates', 'before', null],
      ['gone', 'boxes', 'before', 'other'],
    ] as const;
    for (const [id, pipeline, definition, of] of schedules)
      await database.query(
        `WITH consent AS (
           INSERT INTO waybill.delegation (id, tenant, schedule_id, owner, jws, given_at, expires_at, definition_digest, bound_digest)
           VALUES ($1, 'acme', $2, 'prn_1', 'jws', now(), now(), $4, $5))
         INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state, delegation_id)
         VALUES ('acme', $2, $3, '{}', '{}', false, '{"subject": "alice"}', 'active', $1)`,
        [`dlg-${id}`, id, pipeline, definition, of],
      );
    const schedule = (id: string, becomes: string) => ({ id, tenant: 'acme', owner: 'alice', becomes });
    const [plan] = documents<{ touched: object[] }>(await waybill(project.path, 'plan', '--json'));
    assert.deepEqual(plan!.touched, [
      {
        pipeline: 'boxes',
        served: false,
        runs: { suspended: 1 },
        schedules: [schedule('gone', 'blocked')],
      },
      {
        pipeline: 'crates',
        served: true,
        runs: { 'awaiting-approval': 1, running: 2 },
        schedules: [
          schedule('code', 'other code'),
          schedule('exact', 'blocked'),
          schedule('terms', 'blocked'),
        ],
      },
    ]);
    const { stdout } = await waybill(project.path, 'plan');
    assert.match(stdout, /crates\n {4}open runs: 1 awaiting-approval, 2 running; they end on the code/);
    assert.match(stdout, /schedule code of alice \(acme\) goes on with the new code/);
    assert.match(
      stdout,
      /schedule terms of alice \(acme\) is blocked \(DefinitionChanged\) until its owner renews/,
    );
    assert.match(stdout, /schedule gone of alice \(acme\) is blocked \(PipelineNotFound\)/);
    await database.query(
      `DELETE FROM waybill.schedule; DELETE FROM waybill.delegation; DELETE FROM waybill.run`,
    );
    await database.end();
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
