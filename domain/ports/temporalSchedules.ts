import type { FiringExecution, FiringRef, StartedLately } from '../schedules/firing.ts';
import type { Schedule, ScheduleTiming } from '../schedules/schedule.ts';
import type { Range } from '../schedules/skipped.ts';

/** What Temporal knows of times and of schedules. Every method throws `TemporalUnavailable`. */
export interface TemporalSchedules {
  /**
   * The times of a timing within the range, without jitter: at most 1,000. Temporal computes them from the timing alone.
   * A time counts only if `matchesSchedule` agrees. Without a reader the question is that of a firing, which waits for
   * no reader. Throws `ScheduleInvalid`, `TooManyRequests` (readers) and the reason of the reader’s signal.
   */
  times(timing: ScheduleTiming, range: TimesRange, reader?: Reader): Promise<ScheduleTimes>;
  /** What Temporal has of a schedule; `undefined`: nothing. */
  describe(schedule: Schedule): Promise<KnownSchedule | undefined>;
  execution(firing: FiringRef): Promise<FiringExecution | undefined>;
  /** Deletes what questions for times have left in Temporal because their process was killed; resolves with how many. */
  deleteAbandoned(): Promise<number>;
}

/** Both ends inclusive. `count`: the caller needs the first so many times only. */
export interface TimesRange extends Range {
  count?: number;
}

/** A user’s request. Readers of one tenant share a bound; a request that is given up leaves the queue. */
export interface Reader {
  tenant: string;
  signal: AbortSignal;
}

export interface ScheduleTimes {
  timesMs: number[];
  /** Whether `timesMs` has all times of the range. */
  complete: boolean;
  /** Times that Temporal lists and that do not match in this process: the two know the time zone by different rules. */
  disputedMs: number[];
}

export interface KnownSchedule {
  /** Whether times, action and policies are those of the record. */
  asRecorded: boolean;
  paused: boolean;
  /** Why it is paused, as the user who paused it said. */
  note: string;
  /** First executions of what it has started lately, oldest first; of each when. */
  recent: StartedLately[];
  /** With jitter; none while it is paused. */
  nextMs: number[];
}
