import type { Pool } from 'pg';
import type { AuditRecord, Intake } from '../../domain/ports/intake.ts';

/** Audit events of one run in the order in which they were recorded. */
export async function listRunAudit(
  pool: Pool,
  tenant: string,
  runId: string,
  { limit, cursor }: Parameters<Intake['listAudit']>[2],
): ReturnType<Intake['listAudit']> {
  const { rows } = await pool.query({
    name: 'list-run-audit',
    text: `
      SELECT id, at, tenant, run_id, txn, action, outcome, actor, detail FROM waybill.audit_event
      WHERE tenant = $1 AND run_id = $2 AND id > $3 ORDER BY id LIMIT $4`,
    values: [tenant, runId, cursor ?? '0', limit + 1],
  });
  const items = rows.slice(0, limit).map(
    (row): AuditRecord => ({
      id: row.id,
      at: row.at.toISOString(),
      action: row.action,
      outcome: row.outcome,
      tenant: row.tenant,
      actor: row.actor,
      runId: row.run_id,
      txn: row.txn,
      detail: row.detail,
    }),
  );
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}
