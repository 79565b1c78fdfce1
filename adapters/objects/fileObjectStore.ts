import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';
import type { ObjectScope, ObjectStore, ObjectWriter, StoredObject } from '../../domain/ports/objects.ts';

/**
 * Objects as files of one directory, for one machine.
 *
 * An object is born as `tmp/<uuid>`, which no reader looks at. `finish` makes its bytes durable (fsync), renames it to
 * `<tenant>/<first two digits>/<run>.<digest>` and makes the name durable (fsync of the directory). So whatever
 * has a digest is complete, and a crash leaves nothing but a temporary file, which a later start sweeps.
 */
/** @param reserveBytes that stay free for others: with less, nothing new is taken in (`StorageUnavailable`). Default 0 */
export async function openFileObjectStore(root: string, reserveBytes = 0): Promise<ObjectStore> {
  const base = resolve(root);
  const temporary = join(base, 'tmp');
  await storing(async () => {
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    await sweep(temporary);
  });

  async function create(scope: ObjectScope): Promise<ObjectWriter> {
    const path = join(temporary, randomUUID());
    const targetOf = (digest: string) => pathOf(base, scope, digest);
    await checkFree();
    return storing(async () => writerTo(await open(path, 'wx', 0o600), path, targetOf, base));
  }

  let freeUntilMs = 0;
  async function checkFree(): Promise<void> {
    if (reserveBytes === 0 || performance.now() < freeUntilMs) return;
    const { bavail, bsize } = await storing(() => statfs(base));
    if (bavail * bsize < reserveBytes)
      throw new WaybillError('StorageUnavailable', { detail: `less than ${reserveBytes} bytes are free` });
    freeUntilMs = performance.now() + freeForMs;
  }

  return {
    opener: { module: import.meta.url, name: 'openFileObjectStore', args: [base, reserveBytes] },
    create,

    async put(scope, bytes) {
      const digest = sha256(bytes);
      const target = pathOf(base, scope, digest);
      const path = join(temporary, randomUUID());
      await checkFree();
      return storing(async () => {
        try {
          const file = await open(path, 'wx', 0o600);
          try {
            await file.writeFile(bytes);
            await file.sync();
          } finally {
            await file.close();
          }
          await moveDurably(path, target, base);
        } catch (error) {
          await rm(path, { force: true }).catch(() => {});
          throw error;
        }
        return digest;
      });
    },

    async get(scope, digest) {
      const bytes = await storing(() => readFile(pathOf(base, scope, digest)));
      if (sha256(bytes) !== digest) throw new WaybillError('BatchCorrupt', { detail: `object ${digest}` });
      return bytes;
    },

    async getRange(scope, digest, offset, lengthBytes) {
      return storing(async () => {
        const file = await open(pathOf(base, scope, digest), 'r');
        try {
          const bytes = Buffer.allocUnsafeSlow(lengthBytes);
          let filled = 0;
          while (filled < lengthBytes) {
            const { bytesRead } = await file.read(bytes, filled, lengthBytes - filled, offset + filled);
            if (bytesRead === 0) break;
            filled += bytesRead;
          }
          return bytes.subarray(0, filled);
        } finally {
          await file.close();
        }
      });
    },

    async remove(scope, digests) {
      const paths = digests.map((digest) => pathOf(base, scope, digest));
      await storing(() => Promise.all(paths.map((path) => rm(path, { force: true }))));
    },

    list: (after, max) => storing(() => listAfter(base, after, max)),

    async removeListed(keys) {
      const paths = keys.filter((key) => objectNamedBy(key)).map((key) => join(base, key));
      await storing(() => Promise.all(paths.map((path) => rm(path, { force: true }))));
    },
  };
}

/** How long a disk that had enough room is taken to have it. */
const freeForMs = 200;

/** Small writes are gathered, so that a body that arrives byte by byte costs no system call a byte. */
const gatherBytes = 256 * 1024;

function writerTo(
  file: FileHandle,
  path: string,
  targetOf: (digest: string) => string,
  base: string,
): ObjectWriter {
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
        await moveDurably(path, targetOf(digest), base);
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

async function moveDurably(path: string, target: string, base: string): Promise<void> {
  const born = await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await rename(path, target);
  await syncDirectories(dirname(target), born ? dirname(born) : dirname(target), base);
}

/** A name survives a power loss once its directory is synced; a new directory is itself a name in the one above. */
async function syncDirectories(from: string, upTo: string, base: string): Promise<void> {
  const directories = [from];
  while (directories.at(-1) !== upTo && directories.at(-1) !== base)
    directories.push(dirname(directories.at(-1)!));
  await Promise.all(
    directories.map(async (directory) => {
      const handle = await open(directory, 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
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

function pathOf(base: string, scope: ObjectScope, digest: string): string {
  return join(base, objectNameOf(scope, digest));
}

/**
 * `<tenant>/<first two digits>/<run>.<digest>`: few directories, so that a new object seldom makes one, which would have
 * to be made durable too. Tenants appear as hashes: their names need not be safe here.
 */
export function objectNameOf({ tenant, runId }: ObjectScope, digest: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,189}$/.test(runId)) {
    throw new WaybillError('Internal', { detail: 'a run id that is no file name' });
  }
  if (!/^[0-9a-f]{64}$/.test(digest)) throw new WaybillError('BatchNotFound', { detail: 'not a digest' });
  return `${sha256(tenant).slice(0, 32)}/${digest.slice(0, 2)}/${runId}.${digest}`;
}

/** Which object a key names; `undefined` for what is none. */
export function objectNamedBy(key: string): { runId: string; digest: string } | undefined {
  const [, runId, digest] =
    /^[0-9a-f]{32}\/[0-9a-f]{2}\/([A-Za-z0-9][A-Za-z0-9_.-]{0,189})\.([0-9a-f]{64})$/.exec(key) ?? [];
  return runId === undefined ? undefined : { runId, digest: digest! };
}

/** Folders and files in the order of their names, so that each step reads a few folders. */
async function listAfter(base: string, after: string, max: number): Promise<StoredObject[]> {
  const found: StoredObject[] = [];
  for (const tenant of await namesIn(base, after.split('/', 1)[0]!))
    for (const part of await namesIn(
      join(base, tenant),
      after.startsWith(tenant) ? after.slice(33, 35) : '',
    )) {
      for (const name of await namesIn(join(base, tenant, part), '')) {
        const key = `${tenant}/${part}/${name}`;
        const named = objectNamedBy(key);
        if (!named || key <= after) continue;
        const file = await stat(join(base, key)).catch(() => undefined);
        if (file) found.push({ key, ...named, sizeBytes: file.size, writtenAtMs: file.mtimeMs });
        if (found.length === max) return found;
      }
    }
  return found;
}

/** Names from `first` on, in the order of their bytes; a folder that is gone has none. */
async function namesIn(folder: string, first: string): Promise<string[]> {
  if (folder.endsWith('/tmp')) return [];
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  return names.filter((name) => name >= first).sort();
}

export function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Runs file operations; a full disk, a missing right and the like are all `StorageUnavailable`. */
async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT') throw new WaybillError('BatchNotFound', { detail: String(error), cause: error });
    throw new WaybillError('StorageUnavailable', { detail: String(error), cause: error });
  }
}
