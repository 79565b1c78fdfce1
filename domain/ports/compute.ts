import type { Batch } from '../runs/batch.ts';
import type { Rejection } from '../runs/rejection.ts';
import type { Counts } from '../runs/run.ts';
import type { EncodedRows } from './sinkRows.ts';

/**
 * The work on records that keeps a processor busy. It runs off the main thread, so that heartbeats and database
 * connections are served at the same time. Pure functions of bytes: the same task gives the same result.
 *
 * Between the stages a record is one line of JSON: `[position, line, byteOffset, byteLength, value]`; after the
 * transform `value` is one output row, as the texts of its columns in the order of the sink, and a record that became
 * three rows is three lines.
 *
 * All of it throws `TransformFailed` where the pipeline’s code throws, never ends or takes the thread’s memory, and
 * `DefinitionUnavailable` where the module is another by now. When the signal aborts, the work ends and its reason
 * is thrown.
 */
export interface Compute {
  validate(
    task: { definition: DefinitionRef; batch: Batch; bytes: Uint8Array },
    signal?: AbortSignal,
  ): Promise<StageResult>;
  /** `parameters` as the run was accepted with; also throws `ParametersInvalid`. */
  transform(
    task: { definition: DefinitionRef; parameters: unknown; bytes: Uint8Array },
    signal?: AbortSignal,
  ): Promise<StageResult>;
  /** Turns transformed lines into columns for the sink; the last row of a key wins. */
  encode(task: { definition: DefinitionRef; bytes: Uint8Array }, signal?: AbortSignal): Promise<EncodedRows>;
}

export interface StageResult {
  bytes: Uint8Array;
  rejections: Rejection[];
  /** validate: `read`, `rejected`. transform: `passed`, `filtered`, `rejected`, `emitted`. */
  counts: Partial<Counts>;
  /** validate, where the source has a cursor: the highest value of its field, also of records that were refused for another. */
  highest?: string;
}

/** Which definition to load, and the digest that it must have. */
export interface DefinitionRef {
  modulePath: string;
  digest: string;
}
