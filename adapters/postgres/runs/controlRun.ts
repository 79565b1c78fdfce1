import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { hasEnded, type Run, type RunRef } from '../../../domain/runs/run.ts';
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

/** The signed grant that a run has. */
export async function findGrant(tenants: Tenants, { tenant, runId }: RunRef): Promise<string> {
  const { rows } = await tenants.for(tenant).query<{ grant_jws: string }>({
    name: 'find-grant',
    text: 'SELECT grant_jws FROM waybill.run WHERE tenant = $1 AND id = $2',
    values: [tenant, runId],
  });
  if (!rows[0]) throw new WaybillError('RunNotFound', { detail: runId });
  return rows[0].grant_jws;
}

/** A new grant is the run’s from here on, and the relay hands it over; without one the run is only woken. */
export async function resumeRun(
  tenants: Tenants,
  { tenant, runId }: RunRef,
  successor: { id: string; grant: string } | undefined,
  audit: AuditEvent,
): Promise<Run> {
  const asked = await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
    const { rowCount } = await client.query({
      name: 'resume-run',
      text: `
        WITH r AS (
          UPDATE waybill.run SET grant_jws = coalesce($3, grant_jws), successor_id = coalesce($4, successor_id)
          WHERE tenant = $1 AND id = $2 AND state = 'suspended' RETURNING id
        ), due AS (
          INSERT INTO waybill.outbox (kind, run_id) SELECT $5, id FROM r
        ) SELECT pg_notify('waybill_outbox', '') FROM r`,
      values: [tenant, runId, successor?.grant ?? null, successor?.id ?? null, successor ? 'adopt' : 'wake'],
    });
    if (rowCount) await insertAudit(client, audit);
    return Boolean(rowCount);
  });
  if (!asked) throw new WaybillError('RunNotSuspended');
  return (await findRun(tenants, tenant, runId))!;
}
