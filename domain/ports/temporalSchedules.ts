import type { FiringExecution, FiringRef, StartedLately } from '../schedules/firing.ts';
import type { Schedule, ScheduleTiming } from '../schedules/schedule.ts';
import type { Range } from '../schedules/skipped.ts';

/** What Temporal knows of times and of schedules. All of it throws `TemporalUnavailable`. */
export interface TemporalSchedules {
  /**
   * Times from `from` to `to`, both inclusive, without jitter: at most `timesMax`, and `complete` says whether that are all.
   * Temporal computes them, from nothing but the timing that is given here, and only those count that fit it by our own reading
   * too. Throws `ScheduleInvalid`.
   */
  times(timing: ScheduleTiming, range: Range): Promise<{ timesMs: number[]; complete: boolean }>;
  /** What it has of a schedule; `undefined`: nothing. */
  describe(schedule: Schedule): Promise<KnownSchedule | undefined>;
  execution(firing: FiringRef): Promise<FiringExecution | undefined>;
}

export interface KnownSchedule {
  /** Whether times, action and policies are those of the record. */
  asRecorded: boolean;
  paused: boolean;
  /** Why it is paused, as whoever paused it said. */
  note: string;
  /** First executions of what it has started lately, oldest first; of each when. */
  recent: StartedLately[];
  /** With jitter; none while it is paused. */
  nextMs: number[];
}
