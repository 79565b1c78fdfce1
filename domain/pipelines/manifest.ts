import type { ApprovalManifest } from '../approvals/gate.ts';
import type { QualityManifest } from '../quality/quality.ts';
import type { RunPriority } from '../runs/runPriority.ts';
import type { ScheduleTerms } from '../schedules/schedule.ts';
import type { Compression } from '../sources/compression.ts';
import type { PagesManifest } from '../sources/pages.ts';
import type { FieldOrder } from '../sources/watermark.ts';
import type { EnrichManifest } from './enrich.ts';
import type { Retention } from './retention.ts';

/** The serialisable part of a definition: the only part that a workflow, a grant or the API’s listing sees. */
export interface Manifest {
  id: string;
  version: number;
  labels: Readonly<Record<string, string>>;
  source: SourceManifest;
  sink: SinkManifest;
  limits: Limits;
  /** A run of which every record was rejected completes; otherwise it fails. */
  allowAllRejected?: true;
  /** What becomes of fields that the input does not name; without it they reject their record. */
  unknownFields?: 'keep' | 'drop';
  /** Rows have a column `_source`, which names what they were read of. */
  rowSource?: true;
  /** How values are looked up between validation and transform; without it, none are. */
  enrich?: EnrichManifest;
  /** The gate at which its runs wait for approval; without it they do not wait. */
  approval?: ApprovalManifest;
  /** The rules about the rows of a run; without them none is measured. */
  quality?: QualityManifest;
  /** When it runs by itself, once a principal has applied it in their own name. */
  schedules?: readonly { id: string; terms: ScheduleTerms; note?: string }[];
  /** Without it runs are of normal priority. */
  priority?: RunPriority;
  /** How long what a run leaves is kept, where the definition says so. */
  retention?: Partial<Retention>;
  /** How long a run may take from its acceptance, in milliseconds. */
  deadlineMs: number;
}

/** Whether the rows of a run become visible at once, by `publish`; its grant then does not name `store`. */
export function publishesAtEnd({
  approval,
  sink,
}: Pick<Manifest, 'approval'> & { sink?: Pick<SinkManifest, 'atEnd'> }): boolean {
  return approval?.before === 'publish' || sink?.atEnd !== undefined;
}

/** A format and its options; which options there are is its kind’s affair. */
export interface FormatManifest {
  readonly name: string;
  readonly [option: string]: unknown;
}

/** A source and its options. The ones named here mean the same for every kind that has them. */
export interface SourceManifest {
  readonly kind: string;
  /** Of a kind that lets its author choose it. */
  readonly format?: FormatManifest;
  /** What is read, where no request or schedule names another place. */
  readonly path?: string;
  readonly url?: string;
  /** In what the data is compressed, or that it is not; by default the suffix of its name says so. */
  readonly compression?: Compression | 'none';
  /** The identity under which the URL is read. */
  readonly auth?: 'caller';
  /** By which each run reads only what is new: the end of a growing file, the highest value of a field, the last object. */
  readonly cursor?: 'bytes' | 'key' | 'lastModified' | FieldCursor;
  /** How one page of a URL leads to the next; without it there is one. */
  readonly pages?: PagesManifest;
  readonly [option: string]: unknown;
}

/** Each run asks for what came since the highest value that the runs before it have stored. */
export interface FieldCursor {
  /** Of the input. */
  field: string;
  order: FieldOrder;
  /** Of the query, in which the watermark is sent. */
  parameter: string;
  /** What the first run sends; without it, it sends nothing. */
  initial?: string;
}

/** A sink and its options; the ones named here mean the same for every kind. */
export interface SinkManifest {
  readonly kind: string;
  /** Names what is written. Stores of one tenant to the same table wait for each other. */
  readonly table: string;
  /** Columns of the key (the tenant always comes first), or the digest of all columns; without it every row is kept. */
  readonly key?: readonly string[] | 'row-digest';
  /**
   * The rows of a run become visible all at once, at its end: the step `publish` adds them to what is there, or puts them in its place.
   * Without it, `store` writes batch by batch.
   */
  readonly atEnd?: 'append' | 'replace';
  readonly columns: readonly Column[];
  /** Over so many connections a large batch is stored at once; without it each worker takes as many as it has processors. */
  readonly lanes?: number;
  /** The rows are split by their key over these databases, which are not Waybill’s own; see `shardsOf`. */
  readonly shards?: readonly string[];
  /**
   * Of a pipeline with several outputs: the sink of each by the name of the output, all of one kind. `kind` is that kind, `table` names
   * all tables, and the columns and other options are those of the outputs. See `outputsOf`.
   */
  readonly outputs?: Readonly<Record<string, SinkManifest>>;
  readonly [option: string]: unknown;
}

export interface Column {
  name: string;
  type: SqlType;
  nullable: boolean;
}

export type SqlType =
  | 'text'
  | 'integer'
  | 'bigint'
  | 'double precision'
  | 'numeric'
  | 'boolean'
  | 'timestamptz'
  | 'date'
  | 'time'
  | 'uuid'
  | 'jsonb';

export interface Limits {
  /** Batches of one run validated and transformed at the same time. */
  concurrency: number;
  /** A batch closes at the first record boundary at or after either bound. */
  batchBytes: number;
  batchRecords: number;
  /** A larger record is refused unread. */
  recordBytes: number;
  /** So many bytes may come out of compressed data. */
  decompressedBytes: number;
}

export const defaultLimits: Limits = Object.freeze({
  concurrency: 4,
  batchBytes: 16 * 1024 * 1024,
  batchRecords: 100_000,
  recordBytes: 1024 * 1024,
  decompressedBytes: 64 * 1024 ** 3,
});
