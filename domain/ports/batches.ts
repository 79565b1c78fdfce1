import type { AuditEvent } from '../audit.ts';
import type { Batch } from '../runs/batch.ts';
import type { Run, RunRef } from '../runs/run.ts';

/** An upload as the API receives it, after the acceptance of its run. All of it throws `DatabaseUnavailable`. */
export interface Uploads {
  /** Appends a batch and wakes the steps that wait for it. Throws `UploadIncomplete` once the upload is broken. */
  appendBatch(run: RunRef, batch: Batch): Promise<void>;
  /** Says that the upload goes on. Without it for 30 s the upload counts as broken. */
  touch(run: RunRef): Promise<void>;
  /** The last byte is durable. Sets the digest of the request on the idempotency key. Throws `UploadIncomplete` once broken. */
  seal(run: RunRef, requestDigest: string, audit: AuditEvent): Promise<Run>;
  /** The upload ended early: the run will fail as `UploadIncomplete`; its key becomes free again. */
  breakOff(run: RunRef, audit: AuditEvent): Promise<void>;
}

/** The batches of a run as its steps see them. All of it throws `DatabaseUnavailable`. */
export interface Batches {
  /**
   * How many batches have arrived; waits for more than `after`, up to `waitMs` or until the signal aborts. Throws
   * `RunEnded`, except in the execution in which the run began and was completed: that repeats what was lost with a workflow
   * task, and gets the same answer again.
   */
  arrivals(
    run: RunRef,
    execution: string,
    after: number,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Arrivals>;
  /** The same batch again changes nothing. Throws `SourceChanged` where another batch has that number. */
  append(run: RunRef, batch: Batch): Promise<void>;
  findLast(run: RunRef): Promise<Batch | undefined>;
  /** The first batch of an object, of a source that holds many. */
  findFirstOf(run: RunRef, source: string): Promise<Batch | undefined>;
  /** No batch will follow. `leftBytes` of a growing file are left for a later run. */
  seal(run: RunRef, leftBytes: number, audit: AuditEvent): Promise<void>;
}

interface Arrivals {
  /** Batches `0` to `known - 1` have arrived. */
  received: number;
  /** Whether these are all. */
  inputComplete: boolean;
  /** Whether the upload broke off. */
  broken: boolean;
  /** Of all batches in their order, once these are all. */
  digests: readonly string[];
}
