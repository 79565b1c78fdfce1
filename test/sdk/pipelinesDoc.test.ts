import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { rejections } from '../../domain/runs/rejection.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
import { runTestsIn } from '../support/runTestsIn.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Each fenced block of TypeScript in `docs/pipelines.md` begins with the name of its file, in a user’s project. */
describe('docs/pipelines.md', () => {
  let page: string;
  let home: string;
  const files: string[] = [];

  before(async () => {
    page = await readFile(join(repository, 'docs/pipelines.md'), 'utf8');
    home = await mkdtemp(join(tmpdir(), 'waybill-docs-'));
    await mkdir(join(home, 'node_modules'));
    await writeFile(join(home, 'package.json'), '{ "type": "module" }');
    await symlink(repository, join(home, 'node_modules/waybill'));
    for (const name of ['zod', '@types'])
      await symlink(join(repository, 'node_modules', name), join(home, 'node_modules', name));
    for (const [, name, text] of page.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) {
      const path = join(home, name!);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text!);
      files.push(path);
    }
  });
  after(() => rm(home, { recursive: true }));

  test('every block of TypeScript says which file it is', () => {
    assert.equal(files.length, page.match(/```ts/g)?.length);
  });

  test('its code compiles', () => {
    const { config } = ts.readConfigFile(join(repository, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository);
    const program = ts.createProgram(files, options);
    const diagnostics = files.flatMap((file) => program.getSemanticDiagnostics(program.getSourceFile(file)));
    assert.deepEqual(
      diagnostics.map((d) => ts.flattenDiagnosticMessageText(d.messageText, '\n')),
      [],
    );
  });

  test('its project loads', async () => {
    const project = await loadProject(home);
    assert.deepEqual(
      project
        .list()
        .map((p) => p.manifest.id)
        .sort(),
      ['baskets', 'clicks', 'customers', 'orders', 'payments', 'visits'],
    );
    const { source } = project.find('customers')!.manifest;
    const sent = new URL('url' in source ? source.url! : '');
    if (typeof source.cursor === 'object')
      sent.searchParams.set(source.cursor.parameter, source.cursor.initial!);
    assert.ok(page.includes(`The first run asks for \`${decodeURIComponent(sent.href)}\``));
  });

  test('its tests pass', async () => {
    await runTestsIn(home, 'pipelines/orders.test.ts', 1);
    await runTestsIn(home, 'pipelines/visits.test.ts', 1);
  });

  test('it lists the codes of rejections, each with its message, and no others', () => {
    const section = page.slice(page.indexOf('## Why a record is rejected'), page.indexOf('## What makes'));
    const listed = [...section.matchAll(/^\| *`(\w+)` *\| (.*?) *\|$/gm)].map(([, code, message]) => [
      code,
      message,
    ]);
    assert.deepEqual(Object.fromEntries(listed), rejections);
  });
});
