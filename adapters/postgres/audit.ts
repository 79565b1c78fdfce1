import type { AuditEvent, AuditLog } from '../../domain/audit.ts';
import { fromPostgres } from './failure.ts';
import type { Queries, Tenants } from './tenants.ts';

/** Appends an event within the transaction of its effect. Errors of `pg` pass through to whoever owns that transaction. */
export async function insertAudit(client: Queries, event: AuditEvent): Promise<void> {
  await client.query({
    name: 'insert-audit',
    text: auditWhere('(SELECT) AS always', 1),
    values: auditValues(event),
  });
}

/**
 * The same as part of a larger statement: an insert that happens where the CTE `effect` has a row, so that effect and
 * event take one round trip and one commit. Its parameters begin at `$first`; give them by `auditValues`.
 */
export function auditWhere(effect: string, first: number): string {
  const p = (i: number, type: string) => `$${first + i}::${type}`;
  return `INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, actor, detail)
          SELECT ${p(0, 'text')}, ${p(1, 'text')}, ${p(2, 'text')}, ${p(3, 'text')}, ${p(4, 'text')},
                 ${p(5, 'jsonb')}, ${p(6, 'jsonb')} FROM ${effect}`;
}

export function auditValues({ tenant, runId, txn, action, outcome, actor, detail }: AuditEvent): unknown[] {
  return [tenant, runId, txn, action, outcome, actor && JSON.stringify(actor), JSON.stringify(detail)];
}

/** For facts that have no other effect to commit with, such as a denial. */
export function createAuditLog(tenants: Tenants): AuditLog {
  return {
    async append(event) {
      try {
        await insertAudit(tenants.for(event.tenant), event);
      } catch (error) {
        throw fromPostgres(error);
      }
    },
  };
}
