import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { hasEnded, type Run } from '../../../domain/runs/run.ts';
import { insertAudit } from '../audit.ts';
import type { Tenants } from '../tenants.ts';
import { findRun } from './runs.ts';

/** A request goes to the relay unless one is on its way already. */
export async function cancelRun(
  tenants: Tenants,
  tenant: string,
  runId: string,
  audit: AuditEvent,
): Promise<Run | undefined> {
  const asked = await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
    const { rowCount } = await client.query({
      name: 'cancel-run',
      text: `
        WITH r AS (
          UPDATE waybill.run SET cancel_requested_by = $3
          WHERE tenant = $1 AND id = $2 AND ended_at IS NULL
            AND NOT EXISTS (SELECT FROM waybill.outbox o WHERE o.run_id = $2 AND o.kind = 'cancel') RETURNING id
        ), due AS (
          INSERT INTO waybill.outbox (kind, run_id) SELECT 'cancel', id FROM r
        ) SELECT pg_notify('waybill_outbox', '') FROM r`,
      values: [tenant, runId, audit.actor?.id ?? null],
    });
    if (rowCount) await insertAudit(client, audit);
    return Boolean(rowCount);
  });
  const run = await findRun(tenants, tenant, runId);
  if (run && !asked && hasEnded(run.state)) throw new WaybillError('RunEnded');
  return run;
}
