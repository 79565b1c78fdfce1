import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';
import type { SourceReader } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { OpenOptions, OpenSource } from '../../../domain/ports/sources.ts';
import { extentOf, holds } from './filePieces.ts';

export const fileReader: SourceReader = {
  open: ({ path }, { fileRoots }, options) => openFile(path!, fileRoots, options),

  async check({ path }, { fileRoots }) {
    try {
      const { stream } = await openFile(path!, fileRoots, {});
      // Only a stream that was begun closes its file.
      for await (const _ of stream) break;
    } catch (error) {
      if (error instanceof WaybillError && error.code === 'SourceRefused') throw error;
    }
  },

  async extent({ path }, { fileRoots }, known) {
    const { handle, file } = await openBelow(path!, fileRoots);
    try {
      return await extentOf(handle, Number(file.size), known);
    } finally {
      await handle.close();
    }
  },
};

/**
 * Opens a regular file that really lies below one of the roots, whatever symbolic links stand on the way there.
 * A relative path is looked up below each root in turn. A path outside is refused before the disk is asked, so
 * that no caller learns from the answer which files exist. Throws as `Sources.open` says.
 */
async function openFile(path: string, roots: readonly string[], options: OpenOptions): Promise<OpenSource> {
  const { growing } = options;
  const { handle, file } = await openBelow(path, roots);
  const versionOf = growing ? identityOf : versionOfAll;
  const version = versionOf(file);
  const untilByte = growing?.untilByte ?? Number(file.size);

  /** Throws `SourceChanged` where the bytes may be others than those that were to be read. */
  async function check(): Promise<void> {
    const now = await handle.stat({ bigint: true });
    if (versionOf(now) !== version || now.size < untilByte) throw new WaybillError('SourceChanged');
    if (growing && !(await holds(handle, growing.head))) throw new WaybillError('SourceChanged');
  }

  try {
    if (options.version != null && options.version !== version) throw new WaybillError('SourceChanged');
    await check();
    return { version, stream: read(handle, untilByte, check, options) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A file that was checked to lie below a root, open for reading; the caller closes it. */
async function openBelow(
  path: string,
  roots: readonly string[],
): Promise<{ handle: FileHandle; file: BigIntStats }> {
  const real = await resolveBelow(path, roots);
  const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    unavailable,
  );
  try {
    return { handle, file: await checkFile(handle, real, path, roots) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The real path, checked to lie below the real path of a root. */
async function resolveBelow(path: string, roots: readonly string[]): Promise<string> {
  if (path.includes('\0')) throw refused('the path holds a NUL character');
  let missing: unknown;
  for (const root of roots) {
    const candidate = resolve(root, path);
    if (!isBelow(resolve(root), candidate)) continue;
    try {
      const [realRoot, real] = await Promise.all([realpath(root), realpath(candidate)]);
      if (isBelow(realRoot, real)) return real;
    } catch (error) {
      missing = error;
    }
  }
  throw missing
    ? new WaybillError('SourceUnavailable', { cause: missing })
    : refused('the path lies below no root');
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !way.startsWith(sep);
}

/** What was opened is a regular file, and still the one that the path leads to: nothing was swapped in between. */
async function checkFile(
  handle: FileHandle,
  real: string,
  path: string,
  roots: readonly string[],
): Promise<BigIntStats> {
  const [opened, again] = await Promise.all([handle.stat({ bigint: true }), resolveBelow(path, roots)]);
  if (!opened.isFile()) throw refused('not a regular file');
  const named = await stat(again, { bigint: true }).catch(unavailable);
  if (again !== real || named.ino !== opened.ino || named.dev !== opened.dev)
    throw refused('the path was exchanged');
  return opened;
}

/** Which file it is, whatever is appended to it. */
function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}-${ino}`;
}

function versionOfAll(file: BigIntStats): string {
  return `${file.size}-${file.mtimeNs}-${file.ino}`;
}

async function* read(
  handle: FileHandle,
  untilByte: number,
  check: () => Promise<void>,
  options: OpenOptions,
): AsyncGenerator<Uint8Array, void, void> {
  let position = options.fromByte ?? 0;
  try {
    while (position < untilByte) {
      options.signal?.throwIfAborted();
      const chunk = Buffer.allocUnsafe(Math.min(256 * 1024, untilByte - position));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, position).catch(unavailable);
      if (bytesRead === 0) break;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
    await check();
  } finally {
    await handle.close();
  }
}

function refused(detail: string): WaybillError {
  return new WaybillError('SourceRefused', { detail });
}

function unavailable(cause: unknown): never {
  throw new WaybillError('SourceUnavailable', { cause });
}
