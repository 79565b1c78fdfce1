import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { hasEnded, type Run, type RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Tenants } from '../tenants.ts';
import { findRun } from './runs.ts';

/**
 * A request goes to the relay unless one is on its way already. The row of the run is not written: a publication may hold it for
 * minutes, and requests that wait for it would use up the connections of the API. Two requests at once may both go; Temporal
 * cancels once.
 */
export async function cancelRun(
  tenants: Tenants,
  tenant: string,
  runId: string,
  audit: AuditEvent,
): Promise<Run | undefined> {
  const sent = await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
    const { rowCount } = await client.query(
      sql(
        `WITH unstarted AS (
           -- A run that still waits for its data ends by its workflow too.
           UPDATE waybill.upload SET started = true WHERE run_id = :runId AND NOT started RETURNING run_id
         ), starting AS (
           INSERT INTO waybill.outbox (kind, run_id) SELECT 'start', run_id FROM unstarted RETURNING 1
         ), due AS (
           INSERT INTO waybill.outbox (kind, run_id)
           SELECT 'cancel', id FROM waybill.run
           WHERE tenant = :tenant AND id = :runId AND ended_at IS NULL AND (SELECT count(*) FROM starting) >= 0
             AND NOT EXISTS (SELECT FROM waybill.outbox o WHERE o.run_id = :runId AND o.kind = 'cancel') RETURNING id
         ) SELECT pg_notify('waybill_outbox', '') FROM due`,
        { tenant, runId },
        'cancel-run',
      ),
    );
    if (rowCount) await insertAudit(client, audit);
    return Boolean(rowCount);
  });
  const run = await findRun(tenants, tenant, runId);
  if (run && !sent && hasEnded(run.state)) throw new WaybillError('RunEnded');
  return run;
}

export async function findGrant(tenants: Tenants, { tenant, runId }: RunRef): Promise<string> {
  const { rows } = await tenants
    .for(tenant)
    .query<{ grant_jws: string }>(
      sql(
        'SELECT grant_jws FROM waybill.run WHERE tenant = :tenant AND id = :runId',
        { tenant, runId },
        'find-grant',
      ),
    );
  if (!rows[0]) throw new WaybillError('RunNotFound', { detail: runId });
  return rows[0].grant_jws;
}

/** A new grant is the run’s from here on, and the relay hands it over; without one the run only asks again. */
export async function resumeRun(
  tenants: Tenants,
  { tenant, runId }: RunRef,
  successor: { id: string; grant: string } | undefined,
  audit: AuditEvent,
): Promise<Run> {
  const sent = await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
    const { rowCount } = await client.query(
      sql(
        `WITH r AS (
           UPDATE waybill.run SET grant_jws = coalesce(:grant, grant_jws), successor_id = coalesce(:successor, successor_id)
           WHERE tenant = :tenant AND id = :runId AND state = 'suspended' RETURNING id
         ), due AS (
           INSERT INTO waybill.outbox (kind, run_id) SELECT :kind, id FROM r
         ) SELECT pg_notify('waybill_outbox', '') FROM r`,
        {
          tenant,
          runId,
          grant: successor?.grant ?? null,
          successor: successor?.id ?? null,
          kind: successor ? 'replaceGrant' : 'recheckAuthorization',
        },
        'resume-run',
      ),
    );
    if (rowCount) await insertAudit(client, audit);
    return Boolean(rowCount);
  });
  if (!sent) throw new WaybillError('RunNotSuspended');
  return (await findRun(tenants, tenant, runId))!;
}
