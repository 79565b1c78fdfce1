import type { FormatManifest, Limits } from '../pipelines/manifest.ts';
import type { Batch } from '../runs/batch.ts';
import type { Compression } from '../sources/compression.ts';
import type { ObjectScope } from './objects.ts';

/** Cuts a stream of bytes into batches at record boundaries, at constant memory. The API and `fetch` share it. */
export interface Receiver {
  /**
   * The same bytes give the same batches, however they arrive.
   * Throws `HeaderInvalid` (CSV), `FormatMismatch`, `DecompressionFailed`, `DecompressedTooLarge`, `StorageUnavailable`; what
   * the stream throws passes through.
   */
  receive(scope: ObjectScope, input: ReceivedInput, bytes: AsyncIterable<Uint8Array>): Reception;
}

/** What the bytes are, and where they begin. */
export interface ReceivedInput {
  format: FormatManifest;
  limits: Limits;
  /** In which the bytes arrive; the positions of batches then count the bytes that come out. */
  compression?: Compression | undefined;
  /** The last batch that was already received. The bytes begin at its end. */
  after?: Batch | undefined;
  /** The bytes are of a file that grows, from this place on: a last record that is not complete is left for later. */
  growing?: { firstByte: number; firstLine: number; header?: readonly string[] | undefined } | undefined;
  /**
   * Asked once the bytes have ended, of a resumable reception: whether the data ends there, or goes on another time. Then what no batch
   * has taken is for the caller to keep: `cut` ends the open batch at its last record, `leave` drops it. Default: `end`.
   */
  atEnd?: (() => 'end' | 'cut' | 'leave') | undefined;
}

/** Each batch once its bytes are durable in the object store; can be read once. */
interface Reception extends AsyncIterable<Batch> {
  /** Whether the positions of its batches are positions in the bytes that arrived, so that a retry can begin there. */
  readonly resumable: boolean;
  /**
   * After the last batch: whether the data says what it holds, if only by a header without rows. Otherwise it may be
   * what is left of a failed export.
   */
  readonly holdsData: boolean;
  /** After the last batch: so many bytes at the end of a growing file are left, for they are no complete record yet. */
  readonly leftBytes: number;
}
