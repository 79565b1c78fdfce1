import type { ErrorCode } from '../errors.ts';
import { durationMs, type Schedule } from './schedule.ts';

export const firingWorkflow = 'fireSchedule';

/** The workflow of a firing is called this and the nominal time, which Temporal adds. */
export function firingWorkflowId(temporalScheduleId: string): string {
  return `fire:${temporalScheduleId}`;
}

/** One execution in Temporal, that says it is a firing. */
export interface FiringRef {
  workflowId: string;
  runId: string;
}

/** What Temporal’s server knows of it, and what the client that started it may have claimed. */
export interface FiringExecution extends FiringRef {
  workflowType: string;
  running: boolean;
  firstRunId: string;
  /** As its search attributes say, which a client that starts a workflow by hand can set. */
  scheduledBy: string | null;
  /** RFC 3339, to the second. */
  nominalAt: string | null;
  startedAtMs: number;
}

export const firingOutcomes = ['fired', 'blocked', 'missed', 'skipped'] as const;
export type FiringOutcome = (typeof firingOutcomes)[number];

/** What became of one time of a schedule. Times are RFC 3339. */
export interface Firing {
  nominalAt: string;
  outcome: FiringOutcome;
  runId: string | null;
  /** Why nothing was begun. */
  code: ErrorCode | null;
  at: string;
  /** The last backfill of this time. */
  backfilledBy: string | null;
}

/** All that the decision about one execution rests on. */
export interface FiringEvidence {
  execution: FiringExecution;
  schedule: Schedule;
  nominalMs: number;
  nowMs: number;
  /** Whether what Temporal would do is what the record says: times, action and policies. */
  asRecorded: boolean;
  /** Whether the time is one of the schedule’s, as Temporal computes them from the record. */
  due: boolean;
  /** Whether it is due by the zone data of Temporal and not by ours. */
  disputed: boolean;
  /** The firing before, where it began a run: for when, and when that ended (`null`: not yet). */
  previous: { nominalMs: number; endedMs: number | null } | null;
  /** Whether a run that it began has failed since it was last resumed. */
  failed: boolean;
}

/**
 * What follows. *refused*: this is no firing; nothing is recorded but the refusal, and the time may still
 * be fired. *missed*, *skipped*: it was one, and is over. *blocked*: so is it, and nothing fires until a user resumes it. A schedule that is paused fires nothing, and stays as it is.
 */
type FiringVerdict = 'refused' | 'missed' | 'skipped' | 'blocked';

interface FiringCheck {
  name: string;
  verdict: FiringVerdict;
  code: ErrorCode;
  passes(evidence: FiringEvidence): boolean;
}

/** Clocks of Temporal, of the database and of the API differ, and a firing takes its time to get here. */
const toleranceMs = 5_000;
const lateMs = 60_000;

/**
 * Whether an execution is a firing that is due, in the order in which it is asked. A trigger, a backfill and an update
 * from Temporal’s command line fail here, as does a workflow that was started by hand.
 */
const firingChecks: readonly FiringCheck[] = [
  {
    name: 'state',
    verdict: 'refused',
    code: 'ScheduleNotActive',
    passes: ({ schedule }) => schedule.state === 'active',
  },
  {
    name: 'record',
    verdict: 'refused',
    code: 'ScheduleDrifted',
    passes: ({ asRecorded }) => asRecorded,
  },
  { name: 'zone', verdict: 'blocked', code: 'ZoneDataDiffers', passes: ({ disputed }) => !disputed },
  { name: 'time', verdict: 'refused', code: 'FiringRefused', passes: ({ due }) => due },
  {
    name: 'future',
    verdict: 'refused',
    code: 'FiringRefused',
    passes: ({ nominalMs, nowMs }) => nominalMs <= nowMs + toleranceMs,
  },
  {
    name: 'past',
    verdict: 'refused',
    code: 'FiringRefused',
    passes: ({ nominalMs, schedule }) =>
      nominalMs >= Math.floor(Date.parse(schedule.activeSince) / 1000) * 1000,
  },
  {
    name: 'order',
    verdict: 'refused',
    code: 'FiringRefused',
    passes: ({ schedule, nominalMs, previous }) =>
      schedule.terms.overlap === 'allow-all' || !previous || nominalMs > previous.nominalMs,
  },
  {
    // Temporal pauses it then, and a client of Temporal can unpause it; the owner has consented to no run after a failure.
    name: 'failure',
    verdict: 'blocked',
    code: 'PausedOnFailure',
    passes: ({ schedule, failed }) => !schedule.terms.pauseOnFailure || !failed,
  },
  {
    // Temporal itself starts none then; a backfill there may be told to. What it keeps for later may still be fired.
    name: 'turn',
    verdict: 'refused',
    code: 'FiringRefused',
    passes: ({ schedule: { terms }, previous }) =>
      terms.overlap === 'skip' || terms.overlap === 'allow-all' || previous?.endedMs !== null,
  },
  {
    name: 'overlap',
    verdict: 'skipped',
    code: 'FiringSkipped',
    passes: ({ schedule, previous, nominalMs }) =>
      schedule.terms.overlap !== 'skip' ||
      !previous ||
      (previous.endedMs ?? Number.POSITIVE_INFINITY) <=
        nominalMs + durationMs(schedule.terms.jitter) + lateMs,
  },
  {
    name: 'lateness',
    verdict: 'missed',
    code: 'FiringMissed',
    passes: ({ schedule, nominalMs, nowMs, previous }) => {
      const { overlap, catchUp, jitter } = schedule.terms;
      const waited = overlap !== 'skip' && overlap !== 'allow-all' ? (previous?.endedMs ?? 0) : 0;
      const readyMs = Math.max(nominalMs + durationMs(jitter), waited);
      return nowMs - readyMs <= durationMs(catchUp) + lateMs;
    },
  },
];

/** One of those that Temporal says a schedule has started. */
export interface StartedLately {
  workflowId: string;
  firstRunId: string;
  takenAtMs: number;
}

/** Temporal keeps the last ten; of one that is older than all of them it can be told no more. */
const recentMax = 10;

/** Whether Temporal’s own list of what a schedule has started lately names the execution. */
export function isListed(
  { workflowId, firstRunId, startedAtMs }: FiringExecution,
  recent: readonly StartedLately[],
): boolean {
  if (recent.some((one) => one.workflowId === workflowId && one.firstRunId === firstRunId)) return true;
  return recent.length >= recentMax && recent.every(({ takenAtMs }) => takenAtMs > startedAtMs);
}

/**
 * Temporal lists what a schedule has started a moment after it has started it. Until then it cannot be told; what is not listed
 * after that was started by another client.
 */
export const listedWithinMs = 60_000;

/** The first check that fails, or `undefined` where it is a firing that is due. */
export function failedFiringCheck(evidence: FiringEvidence): FiringCheck | undefined {
  return firingChecks.find((check) => !check.passes(evidence));
}

/** What a worker may ask the API to fire, by what Temporal itself says of its workflow. */
export function scheduleOfFiring(workflowType: string, workflowId: string): string | undefined {
  const match = /^fire:([^:]+:[^:]+)-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.exec(workflowId);
  return workflowType === firingWorkflow ? match?.[1] : undefined;
}
