import type { Slot } from '../connectors/sinkKind.ts';
import type { SinkManifest } from '../pipelines/manifest.ts';
import type { Measures } from '../quality/quality.ts';
import type { Batch } from '../runs/batch.ts';
import type { RecordPlace, Rejection } from '../runs/rejection.ts';
import type { Counts } from '../runs/run.ts';
import type { ObjectScope } from './objects.ts';
import type { EncodedRows } from './sinkRows.ts';

/**
 * The work on records that keeps a processor busy. It runs off the main thread, so that heartbeats and database
 * connections are served while it runs. Each step is a pure function of the pinned bytes of a batch, the definition, the
 * parameters and the recorded lookups. What one step computed is kept for the next in a cache, which any worker can do without: it computes the
 * same again.
 *
 * All of it throws `TransformFailed` where the pipeline’s code throws or ends the thread, `TransformTimedOut` where it does not end in
 * time, `BatchCorrupt` where the bytes are not those of the batch, and `DefinitionUnavailable` where the module is another by now.
 * When the signal aborts, the work ends and the signal’s reason is thrown.
 */
export interface Compute {
  /**
   * Validates the records. With `ahead` it also computes the next step, which reads no byte a second time; the result is kept in the
   * cache and recorded only by that step. What fails ahead does not fail the validation.
   */
  validate(task: BatchTask & { ahead: boolean }, signal?: AbortSignal): Promise<StageResult>;
  /** What the valid records of a batch have to look up. */
  lookupKeys(task: BatchTask, signal?: AbortSignal): Promise<LookupKeys>;
  /** Also throws `ParametersInvalid`. `validated` is what `validate` gives. */
  transform(
    task: BatchTask,
    signal?: AbortSignal,
  ): Promise<{ validated: StageResult; transformed: StageResult }>;
  /** The rows that `transform` encoded. Throws `StageMismatch` where they are not those of `output`; where an older
   * version of Waybill encoded those in another form, as many rows of the same records will do. */
  rows(task: BatchTask, output: EncodedOutput, signal?: AbortSignal): Promise<EncodedRows>;
  /** The bytes of all records that were rejected, by position, where the cache has them. */
  rejectedBytes(task: BatchTask): Promise<ReadonlyMap<number, Uint8Array> | undefined>;
  /** Where the records of these positions are in the batch. */
  locate(task: BatchTask, positions: readonly number[]): Promise<RecordPlace[]>;
  /**
   * Reads encoded rows back, at most `rowsMax` of each output: the text of each column by its name. Where there are several outputs,
   * `_output` names that of the row.
   */
  readRows(sink: SinkManifest, bytes: Uint8Array, rowsMax: number): Promise<Record<string, string | null>[]>;
  /** Forgets what is in the cache for a batch. */
  forget(task: BatchTask): Promise<void>;
}

export interface BatchTask {
  definition: DefinitionRef;
  scope: ObjectScope;
  batch: Batch;
  /** Whether its records are dead letters. */
  areLetters?: boolean;
  /** As the run was accepted with. */
  parameters: unknown;
  /** What the batch was read of, where rows name it. */
  source?: string;
  /** The recorded values that were looked up for it: themselves where they are few, else an object of its scope. */
  lookups?: { digest: string; values?: Uint8Array };
}

export interface LookupKeys {
  /** The digest of what `validate` decides. */
  validated: string;
  /** The first record of each key. */
  keys: ReadonlyMap<string, unknown>;
  /** How many records have no key. */
  misses: number;
}

export interface StageResult {
  /** Lower-case hex SHA-256. validate: of what it decided; transform: of the encoded rows. */
  digest: string;
  /** Of the encoded rows. */
  sizeBytes: number;
  /** transform: of rows that can be stored in lanes, each part with its own digest; `digest` is then that of this list. */
  slots?: readonly (Slot & { digest: string })[];
  rejections: readonly Rejection[];
  /** validate: `read`, `rejected`. transform: `passed`, `filtered`, `rejected`, `emitted`. */
  counts: Partial<Counts>;
  /** transform: the version of the form in which the rows are encoded, of which the digest is. */
  form?: number;
  /** transform, where the source has a cursor: the highest value of its field that is not after the run began. */
  highest?: string;
  /** How many records are. */
  ahead?: number;
  /** validate: how many fields that the input does not name were kept or dropped. */
  unknownFields?: number;
  /** transform, where the pipeline has quality rules: what they see of the rows, and the keys of `unique` rules in base64. */
  quality?: { measures: Measures; keys?: string };
}

/** The encoded rows of a batch, as the step recorded them. */
export interface EncodedOutput {
  digest: string;
  form?: number | undefined;
  sizeBytes: number;
  emitted: number;
}

/** Which definition to load, and the digest that it must have. */
export interface DefinitionRef {
  modulePath: string;
  /** Of a definition that was kept: a file of the project, from where its packages are found. */
  resolveFrom?: string;
  digest: string;
}
