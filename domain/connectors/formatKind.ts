import type { z } from 'zod';
import type { FormatManifest, Limits, Manifest } from '../pipelines/manifest.ts';
import type { Batch } from '../runs/batch.ts';
import type { Locates, RecordRejection, RejectionCode } from '../runs/rejection.ts';

/** One kind of format: a folder of `connectors/formats/`. */
export interface FormatKind {
  readonly name: string;
  /** One line, for lists and the API document. */
  readonly summary: string;
  /** As which a body of this format is sent. */
  readonly mediaType: string;
  /** What an author sets, next to `name`. */
  readonly options: z.ZodObject;
  readonly locates: Locates;
  /** Whether a file of this format can grow at its end, so that a run may read only what came since the last. */
  readonly growing: boolean;
  /** Whether the records of a request’s envelope, which are JSON, may stand in for a body. */
  readonly takesRecords: boolean;
  /** Checks the options together with what the pipeline takes, and completes them. Throws `DefinitionError`. */
  describe?(
    manifest: FormatManifest,
    records: { input: z.ZodType; unknownFields?: Manifest['unknownFields'] },
  ): FormatManifest;
  create(manifest: FormatManifest): Format;
}

/** A format with its options. It holds no state of an input, so that one serves all. */
export interface Format {
  readonly kind: FormatKind;
  readonly manifest: FormatManifest;
  /**
   * What the bytes of a source pass through before they are split: decompression or another character set. Positions
   * then count the bytes that come out, and a retry reads the source from its start.
   */
  unpack?(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  readonly layout: StreamLayout | FileLayout;
  /** Whether the bytes of a record are JSON, wherever they stand. */
  readonly isJson?: boolean;
  /**
   * Visits the records of a batch in their order. May be asynchronous.
   * `start` and `end` say where the record’s bytes are in the batch.
   */
  read(batch: Batch, bytes: Buffer, visit: VisitRecord): void | Promise<void>;
}

/** @param at where the record is, in the terms of its format */
export type VisitRecord = (start: number, end: number, at: number, record: ReadRecord) => void;
/**
 * An object that is safe to hand on, or why the record is rejected. `inexact`: it holds bigints or `ExactNumber`s, which
 * `fitValues` brings into the types of the schema.
 */
export type ReadRecord = { value: object; inexact?: boolean } | RejectionCode | RecordRejection;

/** Records follow one another, so that bytes can be cut while they arrive: lines of text, items of an array. */
export interface StreamLayout {
  readonly access: 'stream';
  /** Bytes that mean nothing where they are the first of the source, such as a byte-order mark. */
  readonly ignoredStart?: Uint8Array;
  /** Where the first bytes of a source plainly are of another format: which one, and what to do. */
  mistakenFor?(head: Uint8Array): string | undefined;
  /** @param before the last bytes before the first one, where reading goes on within a source */
  boundaries(before?: Buffer): Boundaries;
  /** Whether bytes that `boundaries` found hold no record, such as an empty line or the end of an array. */
  isBlank(bytes: Uint8Array, start: number, end: number): boolean;
  /**
   * Reads the first record of a source, which describes the others. The result is kept with each batch.
   * Throws `HeaderInvalid`.
   */
  readHeader?(record: Buffer): readonly string[];
}

/** Its structure is at the end of the file, as in Parquet: the input is stored whole before it is cut. */
export interface FileLayout {
  readonly access: 'file';
  /**
   * Yields the bytes of each batch and then its description; each batch can be read without the others.
   * Must yield the same for the same file, however often it is asked.
   */
  cut(file: RandomAccess, limits: Limits): AsyncIterable<Uint8Array | FileBatch>;
}

/** A batch of a file, which is complete with the bytes that were yielded before it. */
type FileBatch = Pick<
  Batch,
  'firstByte' | 'firstRecord' | 'records' | 'firstLine' | 'rowGroup' | 'header' | 'refused'
>;

export interface RandomAccess {
  readonly sizeBytes: number;
  read(firstByte: number, sizeBytes: number): Promise<Uint8Array>;
}

/**
 * Finds where records end in bytes that arrive in chunks cut anywhere. Splitting and reading use the same one, so that
 * they can never disagree about what a record is.
 */
export interface Boundaries {
  /**
   * Index just after the next record’s last byte (its separator), or -1 where the chunk ends before. Ask from the
   * index last returned; ask a new chunk from 0 after -1.
   */
  next(chunk: Buffer, from: number): number;
  /** How far the record found last moves the locator, such as the lines that it covers. */
  readonly step: number;
  /** Why what is left at the end of the source is not a record, such as an open quote. */
  readonly unfinished: RejectionCode | undefined;
  /** Asked at the end of the source. Throws `FormatMismatch` where the data was cut off, so that nothing of it is stored. */
  checkEnd?(): void;
}
