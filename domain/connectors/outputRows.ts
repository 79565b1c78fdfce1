import type { SinkManifest } from '../pipelines/manifest.ts';
import type { EncodedRows } from '../ports/sinkRows.ts';

/*
 * The encoded rows of a batch with several outputs: a line of JSON that names each output with its size, and then the rows of
 * each, one after the other. A batch without rows has no bytes.
 */

interface Section {
  output: string;
  sizeBytes: number;
  emitted: number;
}

export function joinOutputs(
  parts: readonly { output: string; bytes: Uint8Array; emitted: number }[],
): Uint8Array {
  if (parts.every(({ emitted }) => emitted === 0)) return new Uint8Array();
  const sections = parts.map(
    ({ output, bytes, emitted }): Section => ({ output, sizeBytes: bytes.length, emitted }),
  );
  return Buffer.concat([Buffer.from(`${JSON.stringify(sections)}\n`), ...parts.map(({ bytes }) => bytes)]);
}

/**
 * The rows of each output with its sink, in the order of the names; of a sink that has no outputs all rows, with the name `''`. Each
 * is read before the next is asked for.
 */
export async function* splitOutputs<Rows extends { sink: SinkManifest; rows: EncodedRows }>(
  batch: Rows,
): AsyncGenerator<Rows & { output: string }> {
  const { outputs } = batch.sink;
  if (!outputs) {
    yield { ...batch, output: '' };
    return;
  }
  const reader = new ChunkReader(batch.rows.chunks());
  const header = await reader.line();
  if (header === undefined) return;
  for (const { output, sizeBytes, emitted } of JSON.parse(header) as Section[]) {
    const rest = reader.take(sizeBytes);
    yield { ...batch, output, sink: outputs[output]!, rows: { emitted, sizeBytes, chunks: () => rest } };
    for await (const _ of rest);
  }
  // To its end, where the digest of all is compared.
  await reader.end();
}

class ChunkReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #left: Uint8Array = new Uint8Array();

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Without its end; `undefined` where there are no bytes. */
  async line(): Promise<string | undefined> {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const end = this.#left.indexOf(0x0a);
      pieces.push(end < 0 ? this.#left : this.#left.subarray(0, end));
      if (end >= 0) {
        this.#left = this.#left.subarray(end + 1);
        return Buffer.concat(pieces).toString();
      }
      if (!(await this.#next())) return undefined;
    }
  }

  async *take(sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let missing = sizeBytes; missing > 0; ) {
      if (this.#left.length === 0 && !(await this.#next())) return;
      const piece = this.#left.subarray(0, missing);
      this.#left = this.#left.subarray(piece.length);
      missing -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async end(): Promise<void> {
    while (await this.#next());
  }

  async #next(): Promise<boolean> {
    const { done, value } = await this.#chunks.next();
    this.#left = done ? new Uint8Array() : value;
    return !done;
  }
}
