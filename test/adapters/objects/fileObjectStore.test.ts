import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { openFileObjectStore } from '../../../adapters/objects/fileObjectStore.ts';
import { objectStoreConformance } from '../../conformance/objects.ts';

const homes: string[] = [];
after(() => Promise.all(homes.map((home) => rm(home, { recursive: true, force: true }))));

async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'waybill-objects-'));
  homes.push(home);
  return home;
}

objectStoreConformance('directory', async () => openFileObjectStore(await newHome()));

describe('directory of objects', () => {
  const scope = { tenant: '../acme', runId: 'orders-1' };

  async function paths(home: string): Promise<string[]> {
    const entries = await readdir(home, { recursive: true, withFileTypes: true });
    return entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name));
  }

  it('takes nothing new in while less is free than is reserved, and gives what it has', async () => {
    const home = await newHome();
    const digest = await (await openFileObjectStore(home)).put(scope, Buffer.from('kept'));
    const full = await openFileObjectStore(home, 2 ** 60);
    await assert.rejects(full.put(scope, Buffer.from('new')), { code: 'StorageUnavailable' });
    await assert.rejects(full.create(scope), { code: 'StorageUnavailable' });
    assert.equal((await full.get(scope, digest)).toString(), 'kept');
  });

  it('notices bytes that were changed on disk', async () => {
    const home = await newHome();
    const store = await openFileObjectStore(home);
    const digest = await store.put(scope, Buffer.from('genuine'));
    await writeFile((await paths(home))[0]!, 'altered');
    await assert.rejects(store.get(scope, digest), { code: 'BatchCorrupt' });
  });

  it('is readable by its owner alone, and holds no tenant’s name', async () => {
    const home = await newHome();
    const store = await openFileObjectStore(join(home, 'objects'));
    await store.put(scope, Buffer.from('x'));
    const [path] = await paths(home);
    assert.equal((await stat(path!)).mode & 0o777, 0o600);
    assert.equal((await stat(join(path!, '..'))).mode & 0o777, 0o700);
    assert.ok(!path!.includes('acme'));
  });

  it('leaves no temporary file behind an abort', async () => {
    const home = await newHome();
    const store = await openFileObjectStore(home);
    const writer = await store.create(scope);
    await writer.write(Buffer.alloc(300_000));
    await writer.abort();
    assert.deepEqual(await paths(home), []);
  });

  it('sweeps what a killed process left a day ago, and nothing younger', async () => {
    const home = await newHome();
    await mkdir(join(home, 'tmp'));
    await writeFile(join(home, 'tmp', 'old'), '');
    await writeFile(join(home, 'tmp', 'young'), '');
    await utimes(join(home, 'tmp', 'old'), 0, 0);
    await openFileObjectStore(home);
    assert.deepEqual(await readdir(join(home, 'tmp')), ['young']);
  });

  it('says StorageUnavailable where it cannot write', async () => {
    const home = await newHome();
    await writeFile(join(home, 'file'), '');
    await assert.rejects(openFileObjectStore(join(home, 'file')), { code: 'StorageUnavailable' });
  });

  it('says StorageUnavailable when a file cannot grow, and leaves nothing behind', async () => {
    const home = await newHome();
    const module = new URL('../../../adapters/objects/fileObjectStore.ts', import.meta.url).href;
    const script = `import { openFileObjectStore } from '${module}';
      const store = await openFileObjectStore(${JSON.stringify(home)});
      const put = store.put({ tenant: 'acme', runId: 'orders-1' }, Buffer.alloc(1_000_000));
      console.log(await put.catch((error) => error.code));`;
    // A limit of the shell on file sizes stands in for a full disk.
    const command = ['-c', 'ulimit -f 100; exec "$0" --input-type=module -e "$1"', process.execPath, script];
    const { stdout } = await promisify(execFile)('sh', command);
    assert.equal(stdout.trim(), 'StorageUnavailable');
    assert.deepEqual(await paths(home), []);
  });
});
