import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ProjectError } from '../../dev/stack/prepareDatabase.ts';
import { watchFolders } from '../../dev/stack/watchFolders.ts';
import { loadWhenMended, watchProject } from '../../dev/stack/watchProject.ts';

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

  it('loads a project again for the files that it loads and its policies, once for what is saved together', async () => {
    const root = await realpath(await mkdtemp(join(tmpdir(), 'waybill-watch-')));
    await mkdir(join(root, 'policies'));
    await mkdir(join(root, 'pipelines'));
    let reloads = 0;
    let applied = 0;
    let loaded = () => {};
    const watching = watchProject(
      root,
      {
        files: () => new Set([join(root, 'pipelines/a.ts'), join(root, 'rules.ts')]),
        reload: async () => void reloads++,
        apply: async () => void applied++,
      },
      (line) => {
        if (line === 'Loaded.') loaded();
      },
    );
    const next = () => new Promise<void>((resolve) => (loaded = resolve));
    try {
      const first = next();
      await writeFile(join(root, 'rules.ts'), '');
      await writeFile(join(root, 'policies/own.cedar'), '');
      await first;
      assert.deepEqual([reloads, applied], [1, 0]);

      for (const name of ['notes.txt', 'pipelines/a.test.ts', 'rules.test.ts', 'test.ts', 'pipelines/a.d.ts'])
        await writeFile(join(root, name), '');
      const second = next();
      await writeFile(join(root, 'policies/roles.json'), '{}');
      await second;
      assert.deepEqual([reloads, applied], [1, 1]);

      const third = next();
      await writeFile(join(root, 'pipelines/new.ts'), '');
      await third;
      assert.deepEqual([reloads, applied], [2, 1]);
    } finally {
      watching.close();
      await rm(root, { recursive: true });
    }
  });

  it('takes any source as the mending of a project that did not load', async () => {
    const root = await realpath(await mkdtemp(join(tmpdir(), 'waybill-watch-')));
    await mkdir(join(root, 'pipelines'));
    let fails = true;
    let said = (_line: string) => {};
    const watching = watchProject(
      root,
      {
        files: () => new Set(),
        reload: async () => {
          if (fails) throw new Error('no ./missing.ts');
        },
        apply: async () => {},
      },
      (line) => said(line),
    );
    const says = (start: string) =>
      new Promise<void>((resolve) => {
        said = (line) => line.startsWith(start) && resolve();
      });
    try {
      const failed = says('Not loaded: no ./missing.ts');
      await writeFile(join(root, 'pipelines/a.ts'), '');
      await failed;
      fails = false;
      const mended = says('Loaded.');
      await writeFile(join(root, 'missing.ts'), '');
      await mended;
    } finally {
      watching.close();
      await rm(root, { recursive: true });
    }
  });

  it('waits at the start until a broken project is mended, and says what is wrong', async () => {
    const root = await mkdtemp(join(tmpdir(), 'waybill-watch-'));
    const said: string[] = [];
    let asked = () => {};
    const waits = new Promise<void>((resolve) => (asked = resolve));
    let loads = 0;
    try {
      const loading = loadWhenMended(
        root,
        async () => {
          if (++loads === 1) throw new ProjectError('a.ts: does not load');
          return 'loaded';
        },
        (line) => {
          said.push(line);
          if (line.startsWith('Mend it')) asked();
        },
        new AbortController().signal,
      );
      await waits;
      await writeFile(join(root, 'a.ts'), '');
      assert.equal(await loading, 'loaded');
      assert.equal(said[0], 'The project does not load: a.ts: does not load');
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
