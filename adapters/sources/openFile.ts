import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';
import type { OpenOptions, OpenSource } from '../../domain/ports/sources.ts';

/**
 * Opens a regular file that really lies below one of the roots, whatever symbolic links stand on the way there.
 * A relative path is looked up below each root in turn. A path outside is refused before the disk is asked, so
 * that nobody learns from the answer which files exist. Throws as `Sources.open` says.
 */
export async function openFile(
  path: string,
  roots: readonly string[],
  options: OpenOptions,
): Promise<OpenSource> {
  const real = await resolveBelow(path, roots);
  const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    unavailable,
  );
  try {
    const version = await checkFile(handle, real, path, roots);
    if (options.version != null && options.version !== version) throw new WaybillError('SourceChanged');
    return { version, stream: read(handle, version, options) };
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
): Promise<string> {
  const [opened, again] = await Promise.all([handle.stat({ bigint: true }), resolveBelow(path, roots)]);
  if (!opened.isFile()) throw refused('not a regular file');
  const named = await stat(again, { bigint: true }).catch(unavailable);
  if (again !== real || named.ino !== opened.ino || named.dev !== opened.dev)
    throw refused('the path was exchanged');
  return versionOf(opened);
}

function versionOf(file: { ino: bigint; size: bigint; mtimeNs: bigint }): string {
  return `${file.size}-${file.mtimeNs}-${file.ino}`;
}

async function* read(
  handle: FileHandle,
  version: string,
  options: OpenOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const sizeBytes = Number(version.slice(0, version.indexOf('-')));
  let position = options.fromByte ?? 0;
  try {
    while (position < sizeBytes) {
      options.signal?.throwIfAborted();
      const chunk = Buffer.allocUnsafe(Math.min(256 * 1024, sizeBytes - position));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, position).catch(unavailable);
      if (bytesRead === 0) break;
      position += bytesRead;
      yield chunk.subarray(0, bytesRead);
    }
    if (versionOf(await handle.stat({ bigint: true })) !== version) throw new WaybillError('SourceChanged');
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
