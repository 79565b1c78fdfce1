import type { AuditEvent } from '../audit.ts';
import type { DefinitionFacts } from '../policies/policy.ts';
import type { Requester } from '../principal.ts';
import type { Batch, StageOutput } from '../runs/batch.ts';
import type { Counts, RunRef } from '../runs/run.ts';
import type { Mark, Window } from '../sources/watermark.ts';
import type { PulledSource } from './sources.ts';

/**
 * What the activities of a run ask of the database. Every write commits together with its audit event, and a
 * repeated write changes nothing. All of it throws `DatabaseUnavailable`.
 */
export interface Progress {
  /** What the activities must know of a run. Throws `RunNotFound`. */
  findRun(run: RunRef): Promise<RunFacts>;
  /** Accepted becomes running; already running stays. Remembers the execution in Temporal in which the run began. */
  begin(run: RunRef, execution: string, audit: AuditEvent): Promise<void>;
  /**
   * How many batches have arrived; waits for more than `after`, up to `waitMs` or until the signal aborts. Throws
   * `RunEnded`, but not in the execution in which the run began and was completed: that repeats what was lost with a workflow
   * task, and is answered as before.
   */
  arrivals(
    run: RunRef,
    execution: string,
    after: number,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Arrivals>;
  /** Digests of all batches that have arrived, in their order. */
  batchDigests(run: RunRef): Promise<string[]>;
  appendBatch(run: RunRef, batch: Batch): Promise<void>;
  lastBatch(run: RunRef): Promise<Batch | undefined>;
  /** How far earlier runs of the pipeline have read what `key` says. */
  watermark(run: RunFacts, key: string): Promise<Mark | undefined>;
  /** What the run reads, once that is fixed. */
  window(run: RunRef): Promise<Window | undefined>;
  /** Fixes what the run reads; resolves with the window that stands, which may be that of another attempt. */
  openWindow(run: RunRef, key: string, window: Window): Promise<Window>;
  /** No batch will follow. */
  seal(run: RunRef, audit: AuditEvent): Promise<void>;
  /** A batch and all that has been made of it so far. Throws `BatchMissing`, and `RunEnded` as `arrivals` does. */
  findWork(run: RunRef, execution: string, seq: number): Promise<Work>;
  /** The first output of a stage stands; resolves with the one that stands. */
  recordStage(run: RunRef, output: StageOutput, audit: AuditEvent): Promise<StageOutput>;
  /** All that was made of a run, batch by batch. Throws `UploadIncomplete` before the last byte, and `BatchMissing`, `RunEnded`. */
  staged(run: RunRef): Promise<StagedBatch[]>;
  /** A right was withdrawn: the run waits, and shows why. Resolves with how long it has waited, in ms. Throws `RunEnded`. */
  suspend(run: RunRef, reason: RunReason, audit: AuditEvent): Promise<number>;
  /** `jti` of the one grant that may take the place of the one the run has. */
  successor(run: RunRef): Promise<string | null>;
  /** Suspended becomes running; any other state stays. */
  resume(run: RunRef, audit: AuditEvent): Promise<void>;
  /**
   * Sums of the ledger, and of what was made of batches that are not in it: those were read, and none of their rows is emitted.
   * `stored` of so many `batches` are in it; `nothingNew`: a source that is read bit by bit was read and had nothing.
   */
  totals(run: RunRef): Promise<{ counts: Counts; stored: number; batches: number; nothingNew: boolean }>;
  /** The state the run ends in, once; later calls change nothing and resolve with how it ended. */
  end(run: RunRef, outcome: RunOutcome, audit: AuditEvent): Promise<RunOutcome>;
  /** Digests of stage objects that nothing needs any more. */
  stageObjects(run: RunRef): Promise<string[]>;
}

export interface Work {
  batch: Batch;
  /** Whether the run counts as suspended. */
  suspended: boolean;
  validated?: StageOutput;
  transformed?: StageOutput;
  /** What the ledger says, once the batch is stored. */
  stored?: Counts;
}

export type StagedBatch = Required<Pick<Work, 'batch' | 'validated' | 'transformed'>>;

/** None of it changes while the run lives. */
export interface RunFacts {
  runId: string;
  tenant: string;
  pipeline: string;
  version: number;
  definitionDigest: string;
  /** What policies see of the definition that it was accepted with. */
  definition: DefinitionFacts;
  /** `prn_…` of the requester. */
  principal: string;
  /** Who the run shows as its requester. */
  requestedBy: Requester;
  txn: string;
  parameters: unknown;
  source: { kind: 'upload' | 'inline' } | PulledSource;
}

interface Arrivals {
  /** Batches `0` to `known - 1` have arrived. */
  known: number;
  /** Whether these are all. */
  sealed: boolean;
  /** Whether the upload broke off. */
  broken: boolean;
}

export type RunOutcome = {
  state: 'completed' | 'failed' | 'cancelled';
  counts: Counts;
  reason?: RunReason;
};

export interface RunReason {
  code: string;
  message: string;
}
