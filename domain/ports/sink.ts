import type { AuditEvent } from '../audit.ts';
import type { SinkManifest } from '../manifest.ts';
import type { Rejection } from '../rejection.ts';
import type { Credential } from '../revocation.ts';
import type { Counts } from '../run.ts';

/** Where rows end. Storing a batch happens once, however often it is asked for. */
export interface Sink {
  /**
   * One transaction: the ledger entry of the batch, its rows, its dead letters and its audit event, and with the last batch of
   * the run the watermark of its source.
   * A batch that the ledger already has is left alone, and what it says is returned. Nothing of it stands once the
   * credential is revoked.
   * Throws `DatabaseUnavailable`, `GrantRevoked`, `RunEnded`, `UploadIncomplete`, `SinkRejected`, `SinkIncompatible`.
   */
  store(load: Load): Promise<Counts>;
}

export interface Load {
  tenant: string;
  runId: string;
  principal: string;
  /** What the step relies on. */
  credential: Credential;
  pipeline: string;
  version: number;
  seq: number;
  sink: SinkManifest;
  rows: EncodedRows;
  /** Counts of the batch before storing: `read`, `passed`, `filtered`, `rejected`, `emitted`. */
  counts: Counts;
  /** Whether the source is read bit by bit, so that the last batch of the run moves its watermark. */
  movesWatermark?: boolean;
  deadLetters: readonly DeadLetter[];
  audit: (counts: Counts) => AuditEvent;
}

/** Rows as PostgreSQL array literals, one per column of the sink in its order; repeated keys are already dropped. */
export interface EncodedRows {
  count: number;
  /** Rows that a later one of the same key in this batch replaced. */
  deduplicated: number;
  /** Array literals (`{"a","b"}`) to be cast to `<type>[]`. */
  columns: readonly string[];
  /** Array literal of the source position of each row, to be cast to `bigint[]`. */
  positions: string;
  /** Array literal of the digest of each row, where the key is `row-digest`. */
  digests?: string;
}

export interface DeadLetter extends Rejection {
  stage: 'validate' | 'transform';
  /** The record’s bytes, where they are few. */
  raw?: Uint8Array;
  /** Else the object in which they lie. */
  object?: { digest: string; offset: number };
}
