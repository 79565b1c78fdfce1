import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';
import type { ObjectScope, ObjectStore, ObjectWriter } from '../../domain/ports/objects.ts';

/**
 * Objects as files of one directory, for one machine.
 *
 * An object is born as `tmp/<uuid>`, where nobody looks. `finish` makes its bytes durable (fsync), renames it to
 * `<tenant>/<run>/<first two digits>/<digest>` and makes the names durable (fsync of each directory). So whatever
 * has a digest is complete, and a crash leaves nothing but a temporary file, which a later start sweeps.
 * Tenants appear as hashes: their names need not be safe as file names.
 */
export async function openDirectory(root: string): Promise<ObjectStore> {
  const base = resolve(root);
  const temporary = join(base, 'tmp');
  await storing(async () => {
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    await sweep(temporary);
  });

  async function create(scope: ObjectScope): Promise<ObjectWriter> {
    const home = homeOf(base, scope);
    const path = join(temporary, randomUUID());
    return storing(async () => writerTo(await open(path, 'wx', 0o600), path, home, base));
  }

  return {
    create,

    async put(scope, bytes) {
      const writer = await create(scope);
      try {
        await writer.write(bytes);
        return (await writer.finish()).digest;
      } finally {
        await writer.abort();
      }
    },

    async get(scope, digest) {
      const bytes = await storing(() => readFile(pathOf(homeOf(base, scope), digest)));
      if (sha256(bytes) !== digest) throw new WaybillError('BatchCorrupt', { detail: `object ${digest}` });
      return bytes;
    },

    async getRange(scope, digest, offset, lengthBytes) {
      return storing(async () => {
        await using file = await open(pathOf(homeOf(base, scope), digest), 'r');
        const bytes = Buffer.allocUnsafeSlow(lengthBytes);
        let filled = 0;
        while (filled < lengthBytes) {
          const { bytesRead } = await file.read(bytes, filled, lengthBytes - filled, offset + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return bytes.subarray(0, filled);
      });
    },

    async remove(scope, digests) {
      const home = homeOf(base, scope);
      await storing(() => Promise.all(digests.map((digest) => rm(pathOf(home, digest), { force: true }))));
    },
  };
}

/** Small writes are gathered, so that a body that arrives byte by byte costs no system call a byte. */
const gatherBytes = 256 * 1024;

function writerTo(file: FileHandle, path: string, home: string, base: string): ObjectWriter {
  const hash = createHash('sha256');
  let gathered: Buffer | undefined;
  let used = 0;
  let sizeBytes = 0;
  let state: 'open' | 'finished' | 'dropped' = 'open';

  async function flush(bytes: Uint8Array): Promise<void> {
    hash.update(bytes);
    // `write` may write less than it was given, near a full disk for example.
    for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
  }

  return {
    write: (chunk) =>
      storing(async () => {
        sizeBytes += chunk.length;
        if (used + chunk.length > gatherBytes) {
          if (used > 0) await flush(gathered!.subarray(0, used));
          used = 0;
        }
        if (chunk.length >= gatherBytes) return flush(chunk);
        gathered ??= Buffer.allocUnsafeSlow(gatherBytes);
        gathered.set(chunk, used);
        used += chunk.length;
      }),

    finish: () =>
      storing(async () => {
        if (used > 0) await flush(gathered!.subarray(0, used));
        const digest = hash.digest('hex');
        await file.sync();
        await file.close();
        const target = pathOf(home, digest);
        const born = await mkdir(dirname(target), { recursive: true, mode: 0o700 });
        await rename(path, target);
        await syncDirectories(dirname(target), born ? dirname(born) : dirname(target), base);
        state = 'finished';
        return { digest, sizeBytes };
      }),

    async abort() {
      if (state !== 'open') return;
      state = 'dropped';
      await file.close().catch(() => {});
      await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** A name survives a power loss once its directory is synced; a new directory is itself a name in the one above. */
async function syncDirectories(from: string, upTo: string, base: string): Promise<void> {
  const directories = [from];
  while (directories.at(-1) !== upTo && directories.at(-1) !== base)
    directories.push(dirname(directories.at(-1)!));
  await Promise.all(
    directories.map(async (directory) => {
      await using handle = await open(directory, 'r');
      await handle.sync();
    }),
  );
}

/** No write takes a day: what is older was left by a process that died. */
const abandonedAfterMs = 24 * 60 * 60 * 1000;

async function sweep(temporary: string): Promise<void> {
  for (const name of await readdir(temporary)) {
    const path = join(temporary, name);
    const found = await stat(path).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > abandonedAfterMs) await rm(path, { force: true });
  }
}

function homeOf(base: string, { tenant, runId }: ObjectScope): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(runId)) {
    throw new WaybillError('Internal', { detail: 'a run id that is no file name' });
  }
  return join(base, sha256(tenant).slice(0, 32), runId);
}

function pathOf(home: string, digest: string): string {
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new WaybillError('BatchMissing', { detail: 'not a digest' });
  return join(home, digest.slice(0, 2), digest);
}

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Runs file operations; a full disk, a missing right and the like are all `StorageUnavailable`. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT') throw new WaybillError('BatchMissing', { detail: String(error), cause: error });
    throw new WaybillError('StorageUnavailable', { detail: String(error), cause: error });
  }
}
