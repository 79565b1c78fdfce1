import type { ApprovalManifest } from '../approvals/gate.ts';
import type { ScheduleTerms } from '../schedules/schedule.ts';
import type { FieldOrder } from '../sources/watermark.ts';

/** The serialisable part of a definition: the only part that a workflow, a grant or the API’s listing sees. */
export interface Manifest {
  id: string;
  version: number;
  labels: Readonly<Record<string, string>>;
  source: SourceManifest;
  sink: SinkManifest;
  limits: Limits;
  /** The gate at which its runs wait for people; without it they wait for nobody. */
  approval?: ApprovalManifest;
  /** When it runs by itself, once somebody has applied that in their name. */
  schedules?: readonly { id: string; terms: ScheduleTerms; note?: string }[];
  /** How long a run may take from its acceptance, in milliseconds. */
  deadlineMs: number;
}

export type FormatManifest =
  | { name: 'ndjson' }
  | { name: 'csv'; delimiter: string /** what an empty field becomes */; emptyAs: 'string' | 'null' };

export type SourceManifest =
  | { kind: 'upload'; format: FormatManifest }
  | { kind: 'inline' }
  | {
      kind: 'file';
      format: FormatManifest;
      /** Below a configured root. */
      path?: string;
      /** The file grows: each run reads what came since the last. */
      cursor?: 'bytes';
    }
  | {
      kind: 'http';
      format: FormatManifest;
      url?: string;
      /** As whom the URL is read. */
      auth?: 'caller';
      cursor?: FieldCursor;
    };

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

export interface SinkManifest {
  kind: 'postgres';
  table: string;
  /** Columns of the key (the tenant always comes first), or the digest of all columns. */
  key: readonly string[] | 'row-digest';
  columns: readonly Column[];
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
}

export const defaultLimits: Limits = Object.freeze({
  concurrency: 4,
  batchBytes: 4 * 1024 * 1024,
  batchRecords: 20_000,
  recordBytes: 1024 * 1024,
});
