import type { AuditEvent } from '../audit.ts';

/** Holds on the runs of a tenant: nothing of a held run is removed, whatever its retention says. All of it throws `DatabaseUnavailable`. */
export interface LegalHolds {
  /** In the order of the runs. `cursor` is the last run of the page before. */
  list(
    tenant: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ items: LegalHold[]; nextCursor: string | null }>;
  /** Resolves with the hold that lies on the run, which may be an earlier one. Throws `RunNotFound`. */
  place(
    tenant: string,
    hold: Pick<LegalHold, 'runId' | 'reason' | 'placedBy'>,
    audit: AuditEvent,
  ): Promise<LegalHold>;
  /** Does nothing where there is no hold. */
  lift(tenant: string, runId: string, audit: AuditEvent): Promise<void>;
}

export interface LegalHold {
  runId: string;
  reason: string;
  /** `null`: the owner of the tables. */
  placedBy: AuditEvent['actor'];
  /** RFC 3339. */
  placedAt: string;
  /** The bytes of the source were removed before; `null`: they are held too. RFC 3339. */
  inputRemovedAt: string | null;
}
