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
    page: { limit: number; cursor?: string },
  ): Promise<{ items: AuditRecord[]; nextCursor: string | null }>;
}

/** An audit event as it was recorded; `at` is RFC 3339. */
export interface AuditRecord extends AuditEvent {
  id: string;
  at: string;
}
