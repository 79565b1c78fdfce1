import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/approvalStatus.ts';
import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { DecisionMessage } from '../domain/approvals/decision.ts';
import type { Gate } from '../domain/approvals/gate.ts';
import { adoptUpdate } from '../domain/grants/grantHeader.ts';
import type { Counts, RunState } from '../domain/runs/run.ts';

/** What starts a run. Identity is not here: it travels signed in the header. */
export interface RunInput {
  runId: string;
  pipeline: string;
  version: number;
  /** Whether a `fetch` activity must read the source, rather than an upload that arrives by itself. */
  pulled: boolean;
  /** Whether all data is there and so little that the steps run inside workflow tasks, as local activities. */
  useLocalActivities: boolean;
  /** Where the run waits for people; absent: nowhere. */
  gate?: Gate;
  /** Batches validated and transformed at once. */
  concurrency: number;
  /** How long the grant of the run lasts from its acceptance; a run may stay suspended for as long again. */
  deadlineMs: number;
  /** Where the execution before this one stopped, when the run continues as new. */
  cursor?: Cursor;
}

/** How far a run has come. Batches are dense, so a few numbers say it all, however long the input is. */
export interface Cursor {
  /** Batches `0` to `known - 1` have arrived. */
  known: number;
  /** Whether these are all. */
  sealed: boolean;
  /** Whether `fetch` has read its source to the end. */
  fetched: boolean;
  /** Batches `0` to `prepared - 1` are validated and transformed. */
  prepared: number;
  /** Batches beyond those that are prepared too, where one before them was refused. */
  ahead?: number[];
  /** Batches `0` to `stored - 1` are stored. */
  stored: number;
  counts: Counts;
  /** The approval that was asked for last, of a run that has come to its gate. */
  approval?: ApprovalStatus;
}

export interface RunResult {
  state: Extract<RunState, 'completed' | 'cancelled'>;
  counts: Counts;
}

/** Something may have given a right back: a revocation was lifted, a policy or a definition has changed. */
export const recheckAuthorization = defineSignal('wake');

/** Brings, in its header, a new grant of the same run. Fails with the code of the refusal where it is not one. */
export const replaceGrant = defineUpdate<{ grant: string }>(adoptUpdate);

/** A person has decided. The handler waits for the run to say what came of it; refused, it fails with the code of the refusal. */
export const decide = defineUpdate<{ counted: true; state: ApprovalState }, [DecisionMessage]>('decide');

/** The same from other systems, which hear nothing back. */
export const decideBySignal = defineSignal<[unknown]>('decide');
