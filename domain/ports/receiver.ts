import type { FormatManifest, Limits } from '../pipelines/manifest.ts';
import type { Batch } from '../runs/batch.ts';
import type { ObjectScope } from './objects.ts';

/** Cuts a stream of bytes into batches at record boundaries, at constant memory. The API and `fetch` share it. */
export interface Receiver {
  /**
   * Yields each batch once its bytes are durable in the object store. The same bytes give the same batches,
   * however they arrive. `after` is the last batch already received; `bytes` begins at its end. With `growing` the bytes are
   * of a file that grows, from that place on: a last record that is not complete is left for later.
   * Throws `HeaderInvalid` (CSV), `StorageUnavailable`; what the stream throws passes through.
   */
  receive(
    scope: ObjectScope,
    format: FormatManifest,
    limits: Limits,
    bytes: AsyncIterable<Uint8Array>,
    after?: Batch,
    growing?: { firstByte: number; firstLine: number; header?: readonly string[] | undefined },
  ): AsyncGenerator<Batch, void, void>;
}
