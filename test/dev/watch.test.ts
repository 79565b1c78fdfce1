import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { watchFolders } from '../../dev/stack/watchFolders.ts';
import { watchProject } from '../../dev/stack/watchProject.ts';

describe('watching a folder', () => {
  it('sees files that are written, renamed over others, and written in folders that came later', async () => {
    const root = await mkdtemp(join(tmpdir(), 'waybill-watch-'));
    await mkdir(join(root, 'pipelines'));
    await mkdir(join(root, 'node_modules'));
    await writeFile(join(root, 'pipelines/a.ts'), '1');
    const seen = new Map<string, () => void>();
    const watching = watchFolders(root, new Set(['node_modules']), (path) => seen.get(path)?.());
    const change = (path: string) => new Promise<void>((resolve) => seen.set(path, resolve));
    try {
      for (const content of ['2', '3']) {
        const saved = change('pipelines/a.ts');
        await writeFile(join(root, 'aside'), content);
        await rename(join(root, 'aside'), join(root, 'pipelines/a.ts'));
        await saved;
      }
      const made = change('pipelines/more');
      await mkdir(join(root, 'pipelines/more'));
      await made;
      const deep = change('pipelines/more/b.ts');
      await writeFile(join(root, 'pipelines/more/b.ts'), '1');
      await deep;
      const ignored: string[] = [];
      seen.set('node_modules/c.ts', () => ignored.push('c.ts'));
      const last = change('pipelines/a.ts');
      await writeFile(join(root, 'node_modules/c.ts'), '1');
      await writeFile(join(root, 'pipelines/a.ts'), '4');
      await last;
      assert.deepEqual(ignored, []);
    } finally {
      watching.close();
      await rm(root, { recursive: true });
    }
  });

  it('loads a project again for its code and its policies, once for what is saved together', async () => {
    const root = await mkdtemp(join(tmpdir(), 'waybill-watch-'));
    await mkdir(join(root, 'policies'));
    let reloads = 0;
    let applied = 0;
    let loaded = () => {};
    const watching = watchProject(
      root,
      { reload: async () => void reloads++, apply: async () => void applied++ },
      (line) => {
        if (line === 'Loaded.') loaded();
      },
    );
    const next = () => new Promise<void>((resolve) => (loaded = resolve));
    try {
      const first = next();
      await writeFile(join(root, 'notes.txt'), 'no code');
      await writeFile(join(root, 'a.ts'), '');
      await writeFile(join(root, 'policies/own.cedar'), '');
      await first;
      assert.deepEqual([reloads, applied], [1, 0]);
      const second = next();
      await writeFile(join(root, 'policies/roles.json'), '{}');
      await second;
      assert.deepEqual([reloads, applied], [1, 1]);
    } finally {
      watching.close();
      await rm(root, { recursive: true });
    }
  });
});
