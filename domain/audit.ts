import type { Principal, Requester } from './principal.ts';

/** An audited fact. It commits in the transaction of its effect, or not at all. */
export interface AuditEvent {
  /** `<noun>.<past participle>`, such as `run.accepted`, `batch.stored`, `access.denied`. */
  action: string;
  outcome: 'success' | 'denied' | 'failure';
  tenant: string | null;
  /** `null` where the actor is unknown, such as for a change that was made in Temporal itself. */
  actor: Pick<Requester, 'id' | 'kind' | 'actor'> | null;
  runId: string | null;
  /** W3C trace id, the same from the HTTP call to the stored record. */
  txn: string | null;
  /** Counts, digests, codes. Never a value of a record, never a token. */
  detail: Readonly<Record<string, unknown>>;
}

/** What a principal has done, or was not let do. */
export function auditOf(
  { principal, runId, txn }: { principal: Principal; runId: string | null; txn: string },
  action: string,
  detail: AuditEvent['detail'],
  outcome: AuditEvent['outcome'] = 'success',
): AuditEvent {
  return { action, outcome, tenant: principal.tenant, actor: whoOf(principal), runId, txn, detail };
}

/** A principal as events name them. */
export function whoOf({ id, kind, actor }: Principal): NonNullable<AuditEvent['actor']> {
  return { id, kind, ...(actor && { actor }) };
}
