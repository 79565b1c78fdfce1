import type { AuditRecord, RunStore } from '../../domain/ports/runStore.ts';
import type { Tenants } from './tenants.ts';

/** Audit events of one run in the order in which they were recorded. */
export async function listRunAudit(
  tenants: Tenants,
  tenant: string,
  runId: string,
  { limit, cursor }: Parameters<RunStore['listAudit']>[2],
): ReturnType<RunStore['listAudit']> {
  const { rows } = await tenants.for(tenant).query({
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
