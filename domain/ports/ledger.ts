import type { Changes } from '../approvals/approval.ts';
import type { AuditEvent } from '../audit.ts';
import type { SinkManifest } from '../pipelines/manifest.ts';
import type { Credential } from '../revocation.ts';
import type { Counts } from '../runs/run.ts';
import type { NewLetter } from './deadLetters.ts';
import type { EncodedRows, RejectedRecord } from './sinkRows.ts';

/** Makes storing happen once: rows, ledger, dead letters, watermark and audit event commit together or not at all. */
export interface Ledger {
  /**
   * One transaction, or several by the keys of its rows and then one: the ledger entry of the batch, its rows, its dead letters and its audit event, and with the last batch of
   * the run the watermark of its source.
   * A batch that the ledger already has stays as it is, and its recorded counts are the answer. Nothing commits once the
   * credential is revoked.
   * Throws `DatabaseUnavailable`, `GrantRevoked`, `RunEnded`, `UploadIncomplete`, `SinkRejected`, `SinkIncompatible`.
   */
  storeBatch(batch: BatchToStore): Promise<Counts>;
  /**
   * Keeps the rejected records of a run before anything of it is stored, so that approvers see them, and so that they stay whatever
   * becomes of the run. Again it changes nothing. Throws `DatabaseUnavailable`, `RunEnded`.
   */
  recordRejections(rejected: RejectedOfRun): Promise<void>;
  /** What publishing the rows would do now. Changes nothing. Throws `DatabaseUnavailable`, `SinkRejected`, `SinkIncompatible`. */
  previewRun(staged: StagedRun): Promise<Preview>;
  /**
   * All rows of a run at once: one transaction for the rows, the ledger entries and the dead letters of every batch, and the audit
   * event. Where the ledger has the run already, nothing is done, and its recorded counts are the answer.
   *
   * `stale`: publishing now is not what was permitted, or a credential of an approver is revoked; nothing was written.
   * Throws what `storeBatch` throws, and `ApprovalRequired` where the approval is neither approved nor waived.
   */
  publishRun(
    publication: Publication,
  ): Promise<{ outcome: 'published'; counts: Counts } | { outcome: 'stale' }>;
  /** Whether `publishRun` has recorded the run. Throws `DatabaseUnavailable`. */
  isPublished(run: Pick<StagedRun, 'tenant' | 'runId'>): Promise<boolean>;
}

/**
 * Sums of the ledger, and of what was made of batches that are not in it: those were read, and none of their rows is emitted.
 */
export interface RunTotals {
  counts: Counts;
  /** Batches in the ledger, of so many `batches`. */
  stored: number;
  batches: number;
  /** All data is there, and it holds no record. */
  nothingNew: boolean;
  /** The definition says that a run of which every record was rejected is fine. */
  allowAllRejected: boolean;
}

/** The rows of a run, batch by batch in their order, before readers of the table see them. */
export interface StagedRun<Batch = StagedRows> {
  tenant: string;
  runId: string;
  principal: string;
  sink: SinkManifest;
  /** Every record was rejected, and the definition does not say that this is fine: the run fails, and replaces nothing. */
  fitsNothing?: boolean;
  batches(): AsyncIterable<Batch>;
}

export interface StagedRows {
  seq: number;
  rows: EncodedRows;
}

/** What a preview finds: changes by rows, and how often the tables of the tenant were written to. */
export interface Preview {
  changes: Changes;
  /** Where there are several outputs. */
  changesByOutput?: Readonly<Record<string, Changes>>;
  baseVersion: number;
}

export interface Publication
  extends StagedRun<StagedRows & Pick<BatchToStore, 'counts' | 'deadLetters' | 'first'>>,
    Pick<BatchToStore, 'credential' | 'pipeline' | 'version' | 'movesWatermark' | 'settlesLetters'> {
  /** Where the run is gated before `publish`. */
  approval: string | undefined;
  /** Of those who approved. */
  approvers: readonly Credential[];
  /** Asked while no other transaction can write to the table for the tenant. */
  permits(preview: Preview): boolean;
  audit: (counts: Counts) => AuditEvent;
}

export interface RejectedOfRun
  extends Pick<BatchToStore, 'tenant' | 'runId' | 'principal' | 'pipeline' | 'version'> {
  batches(): AsyncIterable<Pick<BatchToStore, 'seq' | 'deadLetters'>>;
  audit: AuditEvent;
}

export interface BatchToStore {
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
  /** Whether the source has a cursor, so that the last batch of the run moves its watermark. */
  movesWatermark?: boolean;
  /** Whether its records are dead letters: each is settled with its row, and the rejected ones are open again. */
  settlesLetters?: boolean;
  /** Position of its first record in the run, default 0. */
  first?: number;
  deadLetters: readonly NewLetter[];
  /**
   * Storing was tried before and the database rejected a row: the records that are to blame are left out and become dead letters of
   * their own.
   */
  apart?: boolean;
  /** The dead letters of records that the database rejected, perhaps in an earlier attempt. */
  lettersOf(rejected: readonly RejectedRecord[]): Promise<NewLetter[]>;
  audit: (counts: Counts) => AuditEvent;
}
