import type { AuditEvent } from '../audit.ts';
import type { Batch } from '../runs/batch.ts';
import type { FailedAttempt, Run, RunRef, RunState, RunTrigger } from '../runs/run.ts';
import type { RunFacts, RunOutcome, RunReason } from '../runs/runFacts.ts';
import type { AcceptedSource } from '../sources/source.ts';
import type { RunTotals } from './ledger.ts';

export interface RetryInput {
  source: AcceptedSource;
  parameters: unknown;
  /** Whether all of it has arrived. */
  sealed: boolean;
  /** The batches that are not in the ledger, in their order. */
  left: Batch[];
}

/** Runs as the API shows and controls them. All of it throws `DatabaseUnavailable`. */
export interface Runs {
  find(tenant: string, runId: string): Promise<Run | undefined>;
  /** What the steps know of a run; `undefined` once it has ended. */
  findOpen(tenant: string, runId: string): Promise<RunFacts | undefined>;
  /** Newest first. `cursor` is the `nextCursor` of the page before. */
  list(
    tenant: string,
    filter: RunFilter & { limit: number; cursor?: string },
  ): Promise<{ items: Run[]; nextCursor: string | null }>;
  /** What a run was to read, and what it has not stored of it. Throws `RunNotFound`. */
  findInput(run: RunRef): Promise<RetryInput>;
  /** The signed grant of a run. Throws `RunNotFound`. */
  findGrant(run: RunRef): Promise<string>;
  /** Asks Temporal, through the relay, to cancel. Resolves with the run as it is now; throws `RunEnded`. */
  requestCancel(tenant: string, runId: string, audit: AuditEvent): Promise<Run | undefined>;
  /**
   * Makes a suspended run ask whether it may go on: under the successor of its grant, or without one under the grant it has.
   * Resolves with the run as it is now; throws `RunNotSuspended`.
   */
  requestResume(
    run: RunRef,
    successor: { id: string; grant: string } | undefined,
    audit: AuditEvent,
  ): Promise<Run>;
  /**
   * Calls back whenever the run may have changed, until the signal aborts. Misses nothing that happens after it
   * returned, may call once too often.
   */
  watch(runId: string, onChange: () => void, signal: AbortSignal): void;
}

/**
 * Runs as their steps move them on. Every write commits together with its audit event, and a repeated write changes nothing. All of
 * it throws `DatabaseUnavailable`.
 */
export interface RunStates {
  /** Throws `RunNotFound`. */
  find(run: RunRef): Promise<RunFacts>;
  /**
   * Accepted becomes running; already running stays. Remembers the execution in Temporal in which the run began. `isFollowed` as in
   * `Stages.record`.
   */
  begin(run: RunRef, execution: string, audit: AuditEvent, isFollowed?: boolean): Promise<void>;
  /** A right was revoked: the run waits, and shows why. Resolves with how long it has waited, in ms. Throws `RunEnded`. */
  suspend(run: RunRef, reason: RunReason, audit: AuditEvent): Promise<number>;
  /** `jti` of the one grant that may replace the grant of the run. */
  findSuccessor(run: RunRef): Promise<string | null>;
  /** Suspended becomes running; any other state stays. */
  resume(run: RunRef, audit: AuditEvent): Promise<void>;
  /**
   * Ends the run, once. One transaction locks the run, counts what the ledger and the stages hold, asks `settle` for the outcome
   * by these and the last failed attempt, and records it, so that nothing can be stored between the count and the end. Later calls change nothing and resolve with the
   * recorded outcome. With `movesWatermark`, a completed run moves the watermark of its objects. Throws `RunNotFound`.
   */
  end(
    run: RunRef,
    settle: (
      totals: RunTotals,
      failed: FailedAttempt | undefined,
    ) => { outcome: RunOutcome; audit: AuditEvent; movesWatermark?: boolean },
  ): Promise<RunOutcome>;
}

/** Which runs; what is absent does not matter. */
export interface RunFilter {
  pipeline?: string;
  version?: number;
  states?: readonly RunState[];
  /** Accepted from then on, and before that (RFC 3339). */
  from?: string;
  to?: string;
  /** Who asked: the id (`prn_…`) or the subject of a principal. */
  requester?: string;
  /** Of a schedule, by its firings and backfills. */
  schedule?: string;
  trigger?: RunTrigger;
  /** `<name>=<value>` of a parameter, as it was sent. */
  parameter?: string;
  /** The code with which it failed, or waits. */
  code?: string;
  /** Open, and accepted with a definition that is none of these. */
  otherThan?: readonly string[];
  /** With dead letters that are neither stored nor discarded. */
  unaddressed?: boolean;
}

/** Runs of all tenants, for reconciling them with Temporal. All of it throws `DatabaseUnavailable`. */
export interface OpenRuns {
  /** Runs open for more than a minute that no entry of the outbox is still to start, after `afterId`, in the order of their ids. */
  list(afterId: string, runsMax: number): Promise<OpenRun[]>;
  /** Runs that are suspended because no worker had one of these definitions. */
  listWaitingFor(definitionDigests: readonly string[]): Promise<RunRef[]>;
  /** Breaks uploads with a receiver that was silent for 30 s; their idempotency keys become free. Resolves with how many. */
  breakSilentUploads(): Promise<number>;
  /** Breaks resumable uploads that were not complete by their deadline, audits them, and has their runs end. Resolves with how many. */
  abandonUploads(): Promise<number>;
}

/** A run that is open in our record. Temporal may know better. */
export interface OpenRun extends RunRef {
  txn: string;
  /** The execution in Temporal in which it began; `null` where it has not begun yet. */
  firstExecution: string | null;
  /** The workflow of the firing that begins it, where a schedule did. */
  firedBy: string | null;
}
