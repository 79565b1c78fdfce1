import type { AuditEvent } from '../audit.ts';

/** Facts that have no other effect to commit with. Throws `DatabaseUnavailable`. */
export interface AuditLog {
  /** `once`: not where the run has such an event about the same `detail.execution` already. */
  append(event: AuditEvent, once?: 'once'): Promise<void>;
}

/** What was recorded, for the API. Throws `DatabaseUnavailable`. */
export interface AuditTrail {
  /** Events of a run, oldest first. `cursor` is the `nextCursor` of the page before. */
  listOfRun(
    tenant: string,
    runId: string,
    page: AuditPage,
  ): Promise<{ items: AuditRecord[]; nextCursor: string | null }>;
  /**
   * What tells of a dead letter: events that name it, its `origin` accepted, and of its `redrives` acceptance, approval, storing and
   * end. Of other letters the details say nothing.
   */
  listOfLetter(
    tenant: string,
    of: { letter: string; origin: string; redrives: readonly string[] },
    page: AuditPage,
  ): Promise<{ items: AuditRecord[]; nextCursor: string | null }>;
}

interface AuditPage {
  limit: number;
  cursor?: string;
}

/** An audit event as it was recorded; `at` is RFC 3339. */
export interface AuditRecord extends AuditEvent {
  id: string;
  at: string;
}
