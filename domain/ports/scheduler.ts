import type { ErrorCode } from '../errors.ts';
import type { StartingManifest } from '../runs/runStart.ts';
import type { FiringOutcome, FiringRef } from '../schedules/firing.ts';

/** Asks whether a firing may begin a run, in its owner’s name. */
export interface Scheduler {
  /**
   * The same answer however often one execution asks. Throws what passes: `FiringUnavailable`, `TemporalUnavailable` and
   * the like.
   */
  fire(scheduleId: string, execution: FiringRef): Promise<FiringAnswer>;
}

export type FiringAnswer =
  | { outcome: 'fired'; run: FiredRun }
  | { outcome: Exclude<FiringOutcome, 'fired'> | 'refused'; code: ErrorCode };

/** A run that was accepted, for its workflow to be started. */
export interface FiredRun {
  runId: string;
  tenant: string;
  principal: string;
  summary: string;
  grant: string;
  manifest: StartingManifest;
}
