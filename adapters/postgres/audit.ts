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
  const [tenantText, runText] = [tenant, runId].map((text) => text && keepable(text));
  return [tenantText, runText, txn, action, outcome, actor && json(actor), json(detail)];
}

function json(value: object): string {
  return JSON.stringify(value, (_, one) => (typeof one === 'string' ? keepable(one) : one));
}

/**
 * Without what PostgreSQL keeps in no text (a zero byte) or no JSON (half a surrogate pair). Whoever is refused chose some
 * of these texts, and must not choose one by which the refusal cannot be recorded.
 */
function keepable(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed();
}

/** For facts that have no other effect to commit with, such as a denial. */
export function createAuditLog(tenants: Tenants): AuditLog {
  return {
    async append(event) {
      try {
        await insertAudit(tenants.for(event.tenant && keepable(event.tenant)), event);
      } catch (error) {
        throw fromPostgres(error);
      }
    },
  };
}
