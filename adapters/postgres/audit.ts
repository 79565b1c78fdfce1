import type { ClientBase, Pool } from 'pg';
import type { AuditEvent, AuditLog } from '../../domain/audit.ts';
import { fromPostgres } from './failure.ts';

/** Appends an event within the transaction of its effect. Errors of `pg` pass through to whoever owns that transaction. */
export async function insertAudit(client: ClientBase | Pool, event: AuditEvent): Promise<void> {
  const { tenant, runId, txn, action, outcome, actor, detail } = event;
  await client.query({
    name: 'insert-audit',
    text: `INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, actor, detail)
           VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb)`,
    values: [tenant, runId, txn, action, outcome, actor && JSON.stringify(actor), JSON.stringify(detail)],
  });
}

/** For facts that have no other effect to commit with, such as a denial. */
export function createAuditLog(pool: Pool): AuditLog {
  return {
    async append(event) {
      try {
        await insertAudit(pool, event);
      } catch (error) {
        throw fromPostgres(error);
      }
    },
  };
}
