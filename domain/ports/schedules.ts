import type { AuditEvent } from '../audit.ts';
import type { Callback } from '../callback.ts';
import type { Firing, FiringOutcome, FiringRef } from '../firing.ts';
import type { Manifest } from '../manifest.ts';
import type { Requester } from '../principal.ts';
import type { Run, RunState } from '../run.ts';
import type { Schedule, ScheduleState } from '../schedule.ts';
import type { Ongoing, Range } from '../skipped.ts';
import type { RunReason } from './progress.ts';

/** The records of schedules, and of what became of their times. All of it throws `DatabaseUnavailable`. */
export interface Schedules {
  /** In the order of their ids. `cursor` is the last id of the page before. */
  list(
    tenant: string,
    filter: { pipeline?: string; state?: ScheduleState; limit: number; cursor?: string },
  ): Promise<{ items: Schedule[]; nextCursor: string | null }>;
  find(tenant: string, id: string): Promise<Schedule | undefined>;
  /** Throws `ScheduleExists`. */
  create(draft: ScheduleDraft, delegation: GivenDelegation | null, audit: AuditEvent): Promise<Schedule>;
  /**
   * Everything that stands in `draft`, where the revision is still `revision`; the relay then carries it to Temporal. A new
   * consent ends those before, for good. Throws `ScheduleChanged`.
   */
  change(
    draft: ScheduleDraft,
    revision: number,
    consent: GivenDelegation | 'stands' | 'ends',
    audit: AuditEvent,
  ): Promise<Schedule>;
  /** Its firings stay, its consents end, and its id becomes free. Throws `ScheduleChanged`. */
  remove(schedule: Schedule, audit: AuditEvent): Promise<void>;
  /** The signed consent that it runs under, and whether something has taken its place. */
  findDelegation(schedule: Schedule): Promise<{ jws: string; ended: boolean } | undefined>;
  hasDelegation(tenant: string, delegationId: string): Promise<boolean>;

  /** Newest time first. `cursor` is the last time of the page before. */
  listFirings(
    tenant: string,
    id: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ items: ShownFiring[]; nextCursor: string | null }>;
  /** Times within the range of which something has become, in their order. */
  decidedTimes(schedule: Pick<Schedule, 'tenant' | 'id'>, range: Range): Promise<string[]>;
  findFiring(tenant: string, id: string, nominalAt: string): Promise<RecordedFiring | undefined>;
  /** The last time that began a run, and how that stands. */
  lastFired(tenant: string, id: string): Promise<(Ongoing & { runId: string }) | undefined>;
  /** Whether a run that a firing of it began has failed since it was last resumed. */
  hasFailed(schedule: Pick<Schedule, 'tenant' | 'id'>): Promise<boolean>;
  /**
   * Of a time that begins nothing; `block` says why nothing will until somebody resumes it, and whom to tell. Once; resolves
   * with what stands.
   */
  recordFiring(
    schedule: Schedule,
    firing: NewFiring & { outcome: Exclude<FiringOutcome, 'fired'>; code: RunReason['code'] },
    block: { reason: RunReason; callback: Callback | null } | null,
    audit: AuditEvent,
  ): Promise<RecordedFiring>;
  /** Which runs people asked for in the place of times within a range, and how those of firings and these ended. */
  listAttempts(tenant: string, id: string, range: { from: string; to: string }): Promise<Attempt[]>;
  recordBackfill(tenant: string, id: string, nominalAt: string, runId: string): Promise<void>;
  /** Temporal has something else than the record says: has it put right. */
  putRight(schedule: Schedule, audit: AuditEvent): Promise<void>;
}

/** What somebody wants of a schedule. */
export type ScheduleDraft = Pick<
  Schedule,
  | 'tenant'
  | 'id'
  | 'pipeline'
  | 'definition'
  | 'terms'
  | 'note'
  | 'declared'
  | 'owner'
  | 'state'
  | 'reason'
  | 'pausedBy'
> & {
  /** Times before now are due no more, or never were. */
  fresh: boolean;
};

export interface GivenDelegation {
  id: string;
  owner: string;
  jws: string;
  givenAtS: number;
  expiresAtS: number;
  /** Of the pipeline as it was consented to. */
  definitionDigest: string;
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
