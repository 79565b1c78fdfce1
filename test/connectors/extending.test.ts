import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { runTestsIn } from '../support/runTestsIn.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const linesElsewhereMax = 4;

/** A block of the page: the file that it is, or the lines that it changes in one. */
interface Block {
  file: string;
  text: string;
}

/** A throw-away source, format and sink, as `docs/extending.md` has them, in a copy of the repository. */
describe('docs/extending.md', () => {
  let copy: string;
  let page: string;
  const blocksOf = (section: string, language: string): Block[] =>
    [...section.matchAll(new RegExp(`\`\`\`${language}\\n// (\\S+)\\n([\\s\\S]*?)\`\`\``, 'g'))].map(
      ([, file, text]) => ({ file: file!, text: text! }),
    );

  before(async () => {
    page = await readFile(join(repository, 'docs/extending.md'), 'utf8');
    copy = await mkdtemp(join(tmpdir(), 'waybill-extending-'));
    for (const folder of ['domain', 'connectors', 'engine', 'adapters', 'sdk'])
      await cp(join(repository, folder), join(copy, folder), { recursive: true });
    for (const file of ['package.json', 'tsconfig.json']) await cp(join(repository, file), join(copy, file));
    await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'));
    for (const { file, text } of blocksOf(page, 'ts')) {
      await mkdir(dirname(join(copy, file)), { recursive: true });
      await writeFile(join(copy, file), text);
    }
    for (const { file, text } of blocksOf(page, 'diff')) {
      const path = join(copy, file);
      await writeFile(path, applied(await readFile(path, 'utf8'), text));
    }
  });
  after(() => rm(copy, { recursive: true }));

  it('changes at most four lines outside of the folder of a kind', () => {
    const sections = page.split(/^## /m).filter((section) => blocksOf(section, 'diff').length > 0);
    assert.equal(sections.length, 3);
    for (const section of sections) {
      const folders = blocksOf(section, 'ts').map(({ file }) => dirname(file));
      assert.equal(new Set(folders).size, 1);
      const lines = blocksOf(section, 'diff').flatMap(({ text }) => text.match(/^\+.*$/gm) ?? []);
      assert.ok(lines.length <= linesElsewhereMax, `${lines.length} lines`);
    }
  });

  it('has code that compiles', () => {
    const { config } = ts.readConfigFile(join(copy, 'tsconfig.json'), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, copy);
    const files = [...blocksOf(page, 'ts'), ...blocksOf(page, 'diff')].map(({ file }) => join(copy, file));
    const program = ts.createProgram(files, { ...options, noEmit: true });
    const diagnostics = files.flatMap((file) => program.getSemanticDiagnostics(program.getSourceFile(file)));
    assert.deepEqual(
      diagnostics.map((d) => ts.flattenDiagnosticMessageText(d.messageText, '\n')),
      [],
    );
  });

  it('has a test that passes', () => runTestsIn(copy, 'test/connectors/added.test.ts', 4));
});

/** Adds the lines with `+` behind the line with ` ` before them, or in place of the line with `-`. */
function applied(text: string, block: string): string {
  let result = text;
  let anchor = '';
  let replaces = false;
  for (const line of block.split('\n').filter(Boolean)) {
    const content = `${line.slice(1)}\n`;
    if (line.startsWith('+')) {
      assert.ok(result.includes(anchor), `there is no line ${anchor}`);
      result = result.replace(anchor, () => (replaces ? content : anchor + content));
    } else {
      anchor = content;
      replaces = line.startsWith('-');
    }
  }
  return result;
}
