import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import { smallBytesMax } from '../../domain/runs/batch.ts';

/** What a step computed of a batch. */
export interface StageEntry {
  validated: StageResult;
  transformed: StageResult;
  /** The bytes of rejected records in base64, by position, where they are few; and a digest of that. */
  rejected?: { bytes: [position: number, bytes: string][]; digest: string };
}

/**
 * What one step computed and the next one needs: counts, rejections and encoded rows, by a key that stands for batch, definition and
 * parameters. Small results stay in memory. Large ones are files, which the workers of one machine share. The
 * operating system keeps their pages in memory. Nothing here is durable or needed: what is missing is computed again, and rows are
 * compared with the recorded digest by their reader.
 */
export interface StageCache {
  find(key: string): Promise<StageEntry | undefined>;
  /** The rows of an entry that `find` gave. */
  rows(key: string): Promise<ReadRange | undefined>;
  /** A new file for large rows, which `keep` takes; `undefined` where rows stay in memory. */
  newFile(): string | undefined;
  /** @param rows themselves, or the file that holds them */
  keep(key: string, entry: StageEntry, rows: Uint8Array | string): Promise<void>;
  forget(key: string): Promise<void>;
}

/** Reads bytes from `start` to before `end`. */
export type ReadRange = (start: number, end: number) => AsyncIterable<Uint8Array>;

const memoryBytesMax = 64 * 1024 * 1024;
const folderBytesMax = 4 * 1024 ** 3;
/** An entry that no step asked for until then belongs to a run that has ended or waits. */
const keptMaxMs = 3_600_000;
const sweepEvery = 64;
const readBytes = 256 * 1024;

/** @param folder without it, large rows stay in memory too, up to 64 MiB in all */
export function createStageCache(folder?: string): StageCache {
  const memory = new Map<string, StageEntry & { rows: Uint8Array }>();
  let memoryBytes = 0;
  let kept = 0;
  if (folder) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const rowsPath = (key: string) => join(folder!, `${key}.rows`);
  const entryPath = (key: string) => join(folder!, `${key}.json`);

  function keepInMemory(key: string, entry: StageEntry, rows: Uint8Array): void {
    memoryBytes += rows.byteLength - (memory.get(key)?.rows.byteLength ?? 0);
    memory.set(key, { ...entry, rows });
    for (const [oldest, { rows: old }] of memory) {
      if (memoryBytes <= memoryBytesMax && memory.size <= 1_000) break;
      memory.delete(oldest);
      memoryBytes -= old.byteLength;
    }
  }

  return {
    async find(key) {
      const small = memory.get(key);
      if (small || !folder) return small;
      try {
        return JSON.parse(await readFile(entryPath(key), 'utf8'));
      } catch {
        return undefined;
      }
    },

    async rows(key) {
      const small = memory.get(key);
      if (small) return rangesOf(small.rows);
      return folder ? readRows(rowsPath(key)) : undefined;
    },

    newFile: () => folder && join(folder, `${randomUUID()}.new`),

    async keep(key, entry, rows) {
      if (typeof rows !== 'string' && (!folder || rows.byteLength <= smallBytesMax))
        return keepInMemory(key, entry, rows);
      try {
        if (typeof rows === 'string') await rename(rows, rowsPath(key));
        else await replaceFile(rowsPath(key), rows);
        await replaceFile(entryPath(key), JSON.stringify(entry));
        if (++kept % sweepEvery === 0) await sweep(folder!);
      } catch {
        // A full disk costs time: the next step computes the rows again.
        await removeFiles([rowsPath(key), entryPath(key), ...(typeof rows === 'string' ? [rows] : [])]);
      }
    },

    async forget(key) {
      memoryBytes -= memory.get(key)?.rows.byteLength ?? 0;
      if (!memory.delete(key) && folder) await removeFiles([rowsPath(key), entryPath(key)]);
    },
  };
}

export function rangesOf(bytes: Uint8Array): ReadRange {
  return async function* (start, end) {
    yield bytes.subarray(start, end);
  };
}

/** Opened by its reader: a store that finds its batch recorded reads nothing. Another worker may remove the file before. */
async function readRows(path: string): Promise<ReadRange | undefined> {
  return (await stat(path).catch(() => undefined)) && ((start, end) => readFrom(path, start, end));
}

async function* readFrom(path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new WaybillError('StorageUnavailable', { detail: 'the cached rows of a batch are gone', cause });
  });
  yield* file.createReadStream({ start, end: end - 1, highWaterMark: readBytes });
}

async function replaceFile(path: string, content: Uint8Array | string): Promise<void> {
  const written = `${path}.${randomUUID()}`;
  try {
    await writeFile(written, content, { mode: 0o600 });
    await rename(written, path);
  } catch (error) {
    await removeFiles([written]);
    throw error;
  }
}

async function removeFiles(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => rm(path, { force: true }).catch(() => {})));
}

/** Removes what is old, and then the oldest until the rest has room. */
async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder);
  const found = await Promise.all(
    names.map(async (name) => ({ name, info: await stat(join(folder, name)).catch(() => undefined) })),
  );
  const files = found.flatMap(({ name, info }) =>
    info ? [{ name, ageMs: Date.now() - info.mtimeMs, sizeBytes: info.size }] : [],
  );
  let room = folderBytesMax;
  const gone = files
    .toSorted((a, b) => a.ageMs - b.ageMs)
    .filter(({ ageMs, sizeBytes }) => {
      room -= sizeBytes;
      return ageMs > keptMaxMs || room < 0;
    });
  await removeFiles(gone.map(({ name }) => join(folder, name)));
}
