import type { AuditEvent } from '../audit.ts';
import type { Schedule, ScheduleState, ScheduleTerms } from '../schedules/schedule.ts';

/** The records of schedules, and of the consents that they run under. All of it throws `DatabaseUnavailable`. */
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
  /** The terms that its owner consented to last; `undefined` where there are none, or where they were not kept. */
  findConsentedTerms(schedule: Schedule): Promise<ScheduleTerms | undefined>;
  hasDelegation(tenant: string, delegationId: string): Promise<boolean>;
  /** Temporal has something else than the record says: has it put right. */
  resync(schedule: Schedule, audit: AuditEvent): Promise<void>;
}

/** A schedule as a caller wants it. */
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
  /** What it binds besides; `null`: it covers the definition alone. */
  boundDigest: string | null;
  /** Of the pipeline as it was consented to. */
  definitionDigest: string;
  /** Of which the signed text holds the digest. */
  terms: ScheduleTerms;
}

/** Schedules of all tenants, for bringing Temporal to what the records say. All of it throws `DatabaseUnavailable`. */
export interface DueSchedules {
  /**
   * Hands up to `schedulesMax` schedules that have changed, which no other relay holds, to `apply`; of those that it resolves for,
   * Temporal has that revision. The others are due again later, at most a minute apart. One with times that Temporal does not
   * understand (`ScheduleInvalid`) is blocked. Resolves with how many were found.
   */
  relay(schedulesMax: number, apply: (due: DueSchedule) => Promise<void>): Promise<number>;
  /** Schedules that Temporal should have, in the order of their tenants and ids. */
  listApplied(after: Pick<Schedule, 'tenant' | 'id'>, schedulesMax: number): Promise<Schedule[]>;
  /** Carries the record to Temporal again. */
  reapply(schedule: Schedule, action: 'schedule.drifted' | 'schedule.recreated'): Promise<void>;
  /** Temporal has paused it, after a failed run or by a user of Temporal; the record then says so too. */
  adoptPause(schedule: Schedule, code: 'PausedOnFailure' | 'PausedExternally'): Promise<void>;
}

/** A schedule of which Temporal does not have the newest revision. */
export interface DueSchedule {
  schedule: Schedule;
  /** Temporal must not have it any more. */
  deleted: boolean;
  /** How often that failed. */
  attempts: number;
}
