import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/processApprovalTimers.ts';
import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { DecisionMessage } from '../domain/approvals/decision.ts';
import type { Gate } from '../domain/approvals/gate.ts';
import { replaceGrantUpdate } from '../domain/grants/grantHeader.ts';
import type { Counts, RunState } from '../domain/runs/run.ts';

/** The input of `runPipeline`. Identity is not part of it: the header carries the signed grant. */
export interface RunInput {
  runId: string;
  pipeline: string;
  version: number;
  /** Whether a `fetch` activity reads the source; otherwise the caller uploads it. */
  pulled: boolean;
  /** Whether the whole input is there and so small that its steps run inside workflow tasks, as local activities. */
  useLocalActivities: boolean;
  /** Whether values are looked up between validation and transform. */
  enriches?: boolean;
  /** Where the run waits for approval; absent: it does not wait. */
  gate?: Gate;
  /** Its rows become visible at once, at its end, and are added to what is there or replace it; absent: batch by batch. */
  atEnd?: 'append' | 'replace';
  /** Batches validated and transformed at once. */
  concurrency: number;
  /** No more records than that are begun in a second, on average from batch to batch; absent: as fast as it goes. */
  recordsPerSecond?: number;
  /** Lifetime of the run’s grant from acceptance; the run may stay suspended for as long again. */
  deadlineMs: number;
  /** Where the execution before this one stopped, when the run continues as new. */
  cursor?: Cursor;
}

/** Whether `publish` takes the place of `store`. */
export function publishes({ gate, atEnd }: RunInput): boolean {
  return gate === 'publish' || atEnd !== undefined;
}

/** Progress of a run. Batches are numbered densely, so a few numbers suffice for any input. */
export interface Cursor {
  /** Batches `0` to `received - 1` have arrived. */
  received: number;
  /** Whether the received batches are all. */
  inputComplete: boolean;
  /** Whether `fetch` has read its source to the end. */
  fetched: boolean;
  /** Batches `0` to `transformed - 1` are validated and transformed. */
  transformed: number;
  /** Transformed batches beyond `transformed`, where an earlier batch is still missing. */
  ahead?: number[];
  /** Batches `0` to `stored - 1` are stored. */
  stored: number;
  counts: Counts;
  /** The approval that was requested last, once the run has reached its gate. */
  approval?: ApprovalStatus;
}

export interface RunResult {
  state: Extract<RunState, 'completed' | 'cancelled'>;
  counts: Counts;
}

/** A right may be restored: a revocation was lifted, a policy or a definition has changed. */
export const recheckAuthorization = defineSignal('recheckAuthorization');

/** Carries a new grant of the same run in its header. Fails with the code of the rejection. */
export const replaceGrant = defineUpdate<{ grant: string }>(replaceGrantUpdate);

/** A signed decision. The handler waits until the run has verified it; a rejected one fails with the code of the rejection. */
export const decide = defineUpdate<{ counted: true; state: ApprovalState }, [DecisionMessage]>('decide');

/** The same from other systems, without an answer. */
export const decideBySignal = defineSignal<[unknown]>('decide');
