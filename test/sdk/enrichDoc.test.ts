import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { WrittenEnrich } from '../../domain/pipelines/enrich.ts';
import { makeProject, type TestProject } from '../support/makeProject.ts';
import { runTestsIn } from '../support/runTestsIn.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Each block of TypeScript begins with the name of its file, in a user’s project. */
describe('docs/enrich.md', () => {
  let page: string;
  let project: TestProject;
  const files: Record<string, string> = {};

  before(async () => {
    page = await readFile(join(repository, 'docs/enrich.md'), 'utf8');
    for (const [, name, text] of page.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) files[name!] = text!;
    assert.equal(Object.keys(files).length, page.match(/```ts/g)?.length);
    project = await makeProject({ files, packages: ['zod', '@types'] });
  });
  after(() => project?.remove());

  it('has code that compiles', () => {
    const { config } = ts.readConfigFile(join(repository, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repository);
    const paths = Object.keys(files).map((name) => join(project.path, name));
    const program = ts.createProgram(paths, options);
    const diagnostics = paths.flatMap((file) => program.getSemanticDiagnostics(program.getSourceFile(file)));
    assert.deepEqual(
      diagnostics.map((d) => ts.flattenDiagnosticMessageText(d.messageText, '\n')),
      [],
    );
  });

  it('has tests that pass', async () => {
    const tests = Object.keys(files).filter((name) => name.endsWith('.test.ts'));
    for (const name of tests) await runTestsIn(project.path, name, 1);
  });

  it('lists every option', () => {
    for (const option of Object.keys(WrittenEnrich.shape))
      assert.match(page, new RegExp(`^\\| \`${option}[.\`]`, 'm'), option);
  });
});
