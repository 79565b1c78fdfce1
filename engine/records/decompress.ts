import { createGunzip, createZstdDecompress } from 'node:zlib';
import { WaybillError } from '../../domain/errors.ts';
import type { Compression } from '../../domain/sources/compression.ts';

/** Data that repeats itself becomes a thousandth by gzip; real records hardly become a hundredth. */
const ratioMax = 250;
/** So many bytes may come out whatever went in. */
const unsuspiciousBytes = 64 * 1024 * 1024;
const chunkSize = 128 * 1024;

/**
 * Decompresses bytes on their way, of one or several members (gzip) or frames (zstd). Data that breaks off or is damaged ends as
 * `DecompressionFailed`; more than `sizeBytesMax` bytes, or more than 250 times what went in, as `DecompressedTooLarge`.
 */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  compression: Compression,
  sizeBytesMax: number,
): AsyncGenerator<Uint8Array, void, void> {
  const arriving = new Arriving(bytes);
  let sizeBytes = 0;
  try {
    for (let member = 0; await arriving.hasMore(); member++) {
      // Some tools pad gzip with zeros.
      if (member > 0 && compression === 'gzip' && arriving.skipZeros()) continue;
      for await (const chunk of readMember(arriving, compression)) {
        sizeBytes += chunk.length;
        if (sizeBytes > sizeBytesMax)
          throw tooLarge(
            `It holds more than ${sizeBytesMax} bytes, the limit decompressedBytes of the pipeline.`,
          );
        if (sizeBytes > unsuspiciousBytes && sizeBytes > arriving.sizeBytes * ratioMax)
          throw tooLarge(`It becomes more than ${ratioMax} times as large.`);
        yield chunk;
      }
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!/^(Z|ZSTD)_/.test(String(code))) throw error;
    const publicDetail = `The data is declared as ${compression}, and it is damaged or ends too early (${code}).`;
    throw new WaybillError('DecompressionFailed', { publicDetail, cause: error });
  } finally {
    arriving.close();
  }
}

/**
 * As far as one engine of Node reads: it ends where the input goes on, within a chunk, with something that it does not take for
 * more of its own. A second frame of zstd is that too.
 */
async function* readMember(
  arriving: Arriving,
  compression: Compression,
): AsyncGenerator<Uint8Array, void, void> {
  const engine = compression === 'gzip' ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
  const write = (chunk: Uint8Array) =>
    new Promise<void>((resolve, reject) => {
      engine.write(chunk, (error) => (error ? reject(error) : resolve()));
    });

  async function feed(): Promise<void> {
    while (await arriving.hasMore()) {
      const chunk = arriving.take();
      const before = engine.bytesWritten;
      await write(chunk);
      const used = engine.bytesWritten - before;
      if (used === chunk.length) continue;
      arriving.putBack(chunk.subarray(used));
      return;
    }
    engine.end();
  }

  const feeding = feed().catch((error) => void engine.destroy(error));
  try {
    yield* engine;
    await feeding;
  } finally {
    engine.destroy();
  }
}

/** The chunks of a stream, of which a part can be put back. */
class Arriving {
  sizeBytes = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #next: Uint8Array | undefined;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#chunks = bytes[Symbol.asyncIterator]();
  }

  async hasMore(): Promise<boolean> {
    while (!this.#next) {
      const { done, value } = await this.#chunks.next();
      if (done) return false;
      this.sizeBytes += value.length;
      if (value.length > 0) this.#next = value;
    }
    return true;
  }

  take(): Uint8Array {
    const chunk = this.#next!;
    this.#next = undefined;
    return chunk;
  }

  putBack(rest: Uint8Array): void {
    this.#next = rest;
  }

  /** Whether all that has arrived were zeros. */
  skipZeros(): boolean {
    const chunk = this.take();
    const at = chunk.findIndex((byte) => byte !== 0);
    if (at >= 0) this.#next = chunk.subarray(at);
    return at < 0;
  }

  /** Waits for nothing: the next chunk may never come. */
  close(): void {
    this.#chunks.return?.().catch(() => {});
  }
}

function tooLarge(publicDetail: string): WaybillError {
  return new WaybillError('DecompressedTooLarge', { publicDetail });
}
