import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { WaybillError } from '../../../domain/errors.ts';
import type { Extent } from '../../../domain/ports/sources.ts';
import type { Piece } from '../../../domain/sources/watermark.ts';

/** The first bytes of a file tell whether it is still the one that was read before. */
const headBytesMax = 64 * 1024;
const chunkBytes = 256 * 1024;

/** See `Sources.extent`. */
export async function extentOf(
  handle: FileHandle,
  sizeBytes: number,
  known: readonly Piece[],
): Promise<Extent> {
  const lines: number[] = [];
  for (const piece of known) {
    const read = await digestOf(handle, piece);
    if (read?.digest !== piece.digest)
      throw new WaybillError('SourceChanged', {
        publicDetail: `The bytes of the file from ${piece.firstByte} on are not those that an earlier run read.`,
      });
    lines.push(read.lines);
  }
  const head = { firstByte: 0, sizeBytes: Math.min(sizeBytes, headBytesMax) };
  const read = await digestOf(handle, head);
  if (!read) throw new WaybillError('SourceChanged', { detail: 'the file shrank while it was measured' });
  return { sizeBytes, head: { ...head, digest: read.digest }, lines };
}

export async function holds(handle: FileHandle, piece: Piece): Promise<boolean> {
  return (await digestOf(handle, piece))?.digest === piece.digest;
}

/** `undefined` where the file ends before the piece does. */
async function digestOf(
  handle: FileHandle,
  { firstByte, sizeBytes }: Omit<Piece, 'digest'>,
): Promise<{ digest: string; lines: number } | undefined> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, sizeBytes));
  let lines = 0;
  for (let done = 0; done < sizeBytes; ) {
    const { bytesRead } = await handle
      .read(chunk, 0, Math.min(chunk.length, sizeBytes - done), firstByte + done)
      .catch((cause: unknown) => {
        throw new WaybillError('SourceUnavailable', { cause });
      });
    if (bytesRead === 0) return undefined;
    const bytes = chunk.subarray(0, bytesRead);
    hash.update(bytes);
    for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) lines++;
    done += bytesRead;
  }
  return { digest: hash.digest('hex'), lines };
}
