import type { Requester } from './principal.ts';

/** A fact that somebody answers for. It commits in the transaction of its effect, or not at all. */
export interface AuditEvent {
  /** `<noun>.<past participle>`, such as `run.accepted`, `batch.stored`, `access.denied`. */
  action: string;
  outcome: 'success' | 'denied' | 'failure';
  tenant: string | null;
  /** `null` where nobody is known to have acted, such as a change made in Temporal from outside. */
  actor: Pick<Requester, 'id' | 'kind' | 'actor'> | null;
  runId: string | null;
  /** W3C trace id, the same from the HTTP call to the stored record. */
  txn: string | null;
  /** Counts, digests, codes. Never a value of a record, never a token. */
  detail: Readonly<Record<string, unknown>>;
}

/** Facts that have no other effect to commit with. Throws `DatabaseUnavailable`. */
export interface AuditLog {
  append(event: AuditEvent): Promise<void>;
}
