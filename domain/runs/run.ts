import type { ApprovalManifest } from '../approvals/gate.ts';
import type { LetterCounts } from '../deadLetters/letterStates.ts';
import type { DefinitionFacts } from '../policies/policy.ts';
import type { Requester } from '../principal.ts';
import type { QualityResult } from '../quality/quality.ts';
import type { CountsByOutput } from './outputCounts.ts';

export const runStates = [
  'accepted',
  'running',
  'awaiting-approval',
  'suspended',
  'completed',
  'failed',
  'cancelled',
] as const;
export type RunState = (typeof runStates)[number];

const endStates: readonly RunState[] = ['completed', 'failed', 'cancelled'];

export function hasEnded(state: RunState): boolean {
  return endStates.includes(state);
}

/** A run with its tenant and principal. The store shows no run of another tenant. */
export interface RunRef {
  tenant: string;
  runId: string;
  /** The principal (`prn_…`) that it acts for, where that is known. */
  principal?: string;
}

/** Records in (`read`) and rows out (`emitted`) of a run or a batch. */
export interface Counts {
  read: number;
  passed: number;
  filtered: number;
  rejected: number;
  emitted: number;
  stored: number;
  unchanged: number;
  deduplicated: number;
}

export const zeroCounts: Counts = Object.freeze({
  read: 0,
  passed: 0,
  filtered: 0,
  rejected: 0,
  emitted: 0,
  stored: 0,
  unchanged: 0,
  deduplicated: 0,
});

export function addCounts(a: Counts, b: Partial<Counts>): Counts {
  const sum = { ...a };
  for (const key of Object.keys(sum) as (keyof Counts)[]) sum[key] += b[key] ?? 0;
  return sum;
}

/**
 * Where the counts do not add up, or `undefined`. `passed` counts records that left the transform with a row,
 * so that `read = passed + filtered + rejected` and `emitted = stored + unchanged + deduplicated`.
 */
export function imbalance(c: Counts): string | undefined {
  const accounted = c.passed + c.filtered + c.rejected;
  if (c.read !== accounted) return `read ${c.read} ≠ passed + filtered + rejected ${accounted}`;
  const landed = c.stored + c.unchanged + c.deduplicated;
  if (c.emitted !== landed) return `emitted ${c.emitted} ≠ stored + unchanged + deduplicated ${landed}`;
  return undefined;
}

/** A run as everyone sees it; times are RFC 3339. */
export interface Run {
  /** `<pipeline>-<uuidv7>`, also Temporal’s workflow id. */
  id: string;
  pipeline: string;
  state: RunState;
  tenant: string;
  requestedBy: Requester;
  /** What policies see of the definition that it was accepted with. */
  definition: DefinitionFacts & { approval?: Pick<ApprovalManifest, 'before'> | null };
  counts: Counts;
  /** What of them is stored, for each of several outputs. */
  countsByOutput?: CountsByOutput;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
  reason?: { code: string; message: string };
  /** Its data comes in requests of its own, which can be resumed. */
  resumable?: true;
  /** How many records of an incremental source lie after the run began; they do not move its watermark. */
  recordsAhead?: number;
  /** How many fields that the input does not name it kept or dropped, as its pipeline says. */
  unknownFields?: number;
  /** Bytes at the end of a growing file that it left for a later run: no complete record yet. */
  leftBytes?: number;
  /** The failed attempt that it waits to retry. */
  retrying?: FailedAttempt & { nextAttemptAt: string };
  /** Of the records that it rejected, how many are in which state; absent: it rejected none. */
  deadLetters?: LetterCounts;
  /** How many of its dead letters it begins in a time, such as `50/s`. */
  throttle?: string;
  /** What the quality rules of its pipeline found, once that is known. */
  quality?: QualityResult;
  /** The approval that it waits for. */
  approval?: string;
}

/** A failed attempt of a step. */
export interface FailedAttempt {
  step: string;
  code: string;
  /** Public. */
  message: string;
  /** From 1. */
  attempt: number;
  /** RFC 3339; `null`: Temporal does not retry it. */
  nextAttemptAt: string | null;
}

/** When a run began, in milliseconds since 1970, as its id says; `undefined` for an id of another form. */
export function beginningOf(runId: string): number | undefined {
  const [, high, low] =
    /-([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/.exec(runId) ?? [];
  return high === undefined ? undefined : Number.parseInt(high + low, 16);
}

/** The steps that a small run may take ahead, in the activity of `ingest`. */
export const aheadSteps = ['validate', 'transform', 'store', 'publish', 'finalize'] as const;
export type AheadStep = (typeof aheadSteps)[number];

/** A step and its argument, as its workflow would call it. */
export type StepCall = readonly [step: AheadStep, argument?: unknown];

/** What came of the steps that were taken ahead. Steps that are missing here are still to be taken. */
export interface StepsAhead {
  results: { [Step in AheadStep]?: unknown };
  /** The step that ended them and is not to be retried. */
  failed?: { step: AheadStep; code: string; message: string };
}

/** What began a run: a call of its own, a schedule, a redrive of dead letters, or a retry of another run. */
export const runTriggers = ['request', 'schedule', 'redrive', 'retry'] as const;
export type RunTrigger = (typeof runTriggers)[number];
