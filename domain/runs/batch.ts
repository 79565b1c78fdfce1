import type { Measures } from '../quality/quality.ts';
import type { Rejection, RejectionCode } from './rejection.ts';
import type { Counts } from './run.ts';

/**
 * A bounded, immutable piece of a run’s input. Its row is written as the bytes arrive and never changes;
 * every later step compares the bytes it reads with `digest` here, never with what a workflow passed on.
 */
export interface Batch {
  /** Ordinal in the run, from 0, without gaps. */
  seq: number;
  /** Lower-case hex SHA-256 of the bytes. */
  digest: string;
  /** The bytes of a small batch. Those of a larger one are in the object store under tenant, run and digest. */
  bytes?: Uint8Array;
  sizeBytes: number;
  /** Where the bytes begin in the source (a byte-order mark and a CSV header count). */
  firstByte: number;
  /** Ordinal of the first record in the run, from 0, and where it is in its source: a line, an index or a row (`Locates`). */
  firstRecord: number;
  firstLine: number;
  /** Of Parquet: the row group of its rows. */
  rowGroup?: number;
  records: number;
  /** Names of the columns, of CSV only. */
  header?: readonly string[];
  /** Set where the batch is one record that no step may load: why it is refused. */
  refused?: RejectionCode;
  /** The URL of the object that it was read of, where a source holds many. */
  source?: string;
  /** Which version of its source it was read of, where we read the source ourselves and it has one. */
  sourceVersion?: string;
}

/** The largest batch, and the largest list of rejections, that is kept in the database. */
export const smallBytesMax = 64 * 1024;

/** What a step decided about a batch. */
export interface StageOutput {
  seq: number;
  stage: 'validate' | 'enrich' | 'transform';
  digest: string;
  sizeBytes: number;
  /** After `enrich`: the values, where they are few. Otherwise the object of the digest holds them. */
  values?: Uint8Array;
  /** The object that holds the rejections, where they are many. */
  rejectedDigest?: string;
  /** The rejections themselves, where they are few. */
  rejections?: readonly Rejection[];
  /** After `transform`: the version of the form in which the rows are encoded. */
  form?: number;
  /** After `transform`, where the source has a cursor: the highest value of its field that is not after the run began. */
  highest?: string;
  /** How many records are. */
  ahead?: number;
  /** After `validate`: how many fields that the input does not name were kept or dropped. */
  unknownFields?: number;
  /** After `transform`, where the pipeline has quality rules. It is written and not read back with the rest. */
  quality?: { measures: Measures; keys?: string };
  counts: Partial<Counts>;
}
