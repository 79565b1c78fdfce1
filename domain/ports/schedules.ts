import type { AuditEvent } from '../audit.ts';
import type { Schedule, ScheduleState } from '../schedules/schedule.ts';

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
  hasDelegation(tenant: string, delegationId: string): Promise<boolean>;
  /** Temporal has something else than the record says: has it put right. */
  resync(schedule: Schedule, audit: AuditEvent): Promise<void>;
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
