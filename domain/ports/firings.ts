import type { AuditEvent } from '../audit.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { Requester } from '../principal.ts';
import type { Run, RunState } from '../runs/run.ts';
import type { RunReason } from '../runs/runFacts.ts';
import type { Firing, FiringOutcome, FiringRef } from '../schedules/firing.ts';
import type { Schedule } from '../schedules/schedule.ts';
import type { Ongoing, Range } from '../schedules/skipped.ts';
import type { Callback } from '../webhooks/callback.ts';

/** What became of the times of schedules, by themselves and in backfills. All of it throws `DatabaseUnavailable`. */
export interface Firings {
  /** Newest time first. `cursor` is the last time of the page before. */
  list(
    tenant: string,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ items: ShownFiring[]; nextCursor: string | null }>;
  /** Times within the range of which something has become, in their order. */
  decidedTimes(schedule: Pick<Schedule, 'tenant' | 'id'>, range: Range): Promise<string[]>;
  find(tenant: string, id: string, nominalAt: string): Promise<RecordedFiring | undefined>;
  /** The last time that began a run, and how that stands. */
  last(tenant: string, id: string): Promise<(Ongoing & { runId: string }) | undefined>;
  /** Whether a run that a firing of it began has failed since it was last resumed. */
  hasFailed(schedule: Pick<Schedule, 'tenant' | 'id'>): Promise<boolean>;
  /**
   * Of a time that begins nothing; `block` says why the schedule is blocked until it is resumed, and which receiver to notify. Once; resolves
   * with what stands.
   */
  record(
    schedule: Schedule,
    firing: NewFiring & { outcome: Exclude<FiringOutcome, 'fired'>; code: RunReason['code'] },
    block: { reason: RunReason; callback: Callback | null } | null,
    audit: AuditEvent,
  ): Promise<RecordedFiring>;
  /** Which runs people asked for in the place of times within a range, and how those of firings and these ended. */
  listAttempts(tenant: string, id: string, range: { from: string; to: string }): Promise<Attempt[]>;
  recordBackfill(tenant: string, id: string, nominalAt: string, runId: string): Promise<void>;
}

/** What became of a time, and the run that it began. */
export interface ShownFiring {
  firing: Firing;
  run: Run | null;
}

/** A run for one time. */
export interface Attempt {
  nominalAt: string;
  runId: string;
  state: RunState;
}

export interface NewFiring {
  nominalAt: string;
  execution: Pick<FiringRef, 'workflowId'> & { firstRunId: string };
}

export interface RecordedFiring extends Firing {
  firstRunId: string;
  /** The run, for its workflow to be started. */
  begun: Begun | null;
}

export interface Begun {
  runId: string;
  requestedBy: Requester;
  grant: string;
  manifest: Manifest;
}
