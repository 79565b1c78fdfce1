import type { Changes } from '../approvals/approval.ts';
import type { AuditEvent } from '../audit.ts';
import type { SinkManifest } from '../pipelines/manifest.ts';
import type { Credential } from '../revocation.ts';
import type { Rejection } from '../runs/rejection.ts';
import type { Counts } from '../runs/run.ts';

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
  /** What publishing the rows would do now. Writes nothing that stays. Throws `DatabaseUnavailable`, `SinkRejected`, `SinkIncompatible`. */
  preview(staged: Staged): Promise<Found>;
  /**
   * All rows of a run at once: one transaction for the rows, the ledger entries and the dead letters of every batch, and the audit
   * event. Where the ledger has the run already, nothing is done, and what it says is returned.
   *
   * `stale`: publishing now is not what was permitted, or a credential of those who approved is revoked; nothing was written.
   * Throws what `store` throws, and `ApprovalMissing` where the approval is not one that lets rows through.
   */
  publish(publication: Publication): Promise<{ outcome: 'published'; counts: Counts } | { outcome: 'stale' }>;
}

/** The rows of a run, batch by batch in their order, before anybody sees them. */
export interface Staged<Batch = StagedRows> {
  tenant: string;
  runId: string;
  principal: string;
  sink: SinkManifest;
  batches(): AsyncIterable<Batch>;
}

export interface StagedRows {
  seq: number;
  rows: EncodedRows;
}

/** What a preview finds: by rows, and at which version of the table of the tenant. */
export interface Found {
  changes: Changes;
  baseVersion: number;
}

export interface Publication
  extends Staged<StagedRows & Pick<Load, 'counts' | 'deadLetters'>>,
    Pick<Load, 'credential' | 'pipeline' | 'version' | 'movesWatermark'> {
  approval: string;
  /** Of those who approved. */
  approvers: readonly Credential[];
  /** Asked while nobody else can write to the table for the tenant. */
  permits(found: Found): boolean;
  audit: (counts: Counts) => AuditEvent;
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
