import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { testPipeline } from '../../sdk/testing.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

describe('README.md', () => {
  let page: string;
  let home: string;
  before(async () => {
    page = await readFile(join(repository, 'README.md'), 'utf8');
    home = await mkdtemp(join(tmpdir(), 'waybill-readme-'));
    await mkdir(join(home, 'node_modules'));
    await symlink(repository, join(home, 'node_modules/waybill'));
    await symlink(join(repository, 'node_modules/zod'), join(home, 'node_modules/zod'));
  });
  after(() => rm(home, { recursive: true }));

  it('shows a pipeline that does what it says', async () => {
    const [, code] = /```ts\n([\s\S]*?)```/.exec(page)!;
    const file = join(home, 'readings.ts');
    await writeFile(file, code!);
    const { default: pipeline } = await import(pathToFileURL(file).href);
    const bytes = Buffer.from(
      'sensor,at,celsius\na,2026-01-02T03:04:05Z,20\nb,2026-01-02T03:04:05Z,\nc,2026-01-02T03:04:05Z,-300\nd,yesterday,1\n',
    );
    const result = await testPipeline(pipeline, { bytes });
    assert.deepEqual(result.stored, [{ sensor: 'a', at: '2026-01-02T03:04:05Z', kelvin: 293.15 }]);
    assert.deepEqual(
      result.rejected.map(({ code, line }) => [line, code]),
      [
        [4, 'BelowAbsoluteZero'],
        [5, 'SchemaMismatch'],
      ],
    );
    assert.equal(result.counts.filtered, 1);
  });

  it('names only files that are there', async () => {
    for (const [, target] of page.matchAll(/\]\(([^)#]+)\)/g)) {
      await assert.doesNotReject(stat(join(repository, target!)), target);
    }
  });
});
