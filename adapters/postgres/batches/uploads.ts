import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Uploads } from '../../../domain/ports/batches.ts';
import type { Batch } from '../../../domain/runs/batch.ts';
import type { Run, RunRef } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Tenants } from '../tenants.ts';
import { insertBatch } from './batchRows.ts';

/*
 * The arrival of an upload is `open` from its acceptance on, then `sealed` once its last byte is durable, or
 * `broken` for good. Each verb asks for `open` in the statement that writes, so that an upload that was
 * declared broken in between (its API was silent for 30 s) cannot continue.
 */

export function createUploads(tenants: Tenants): Uploads {
  return {
    appendBatch: (run, batch) => appendBatch(tenants, run, batch),
    touch: (run) => touchUpload(tenants, run),
    seal: (run, requestDigest, audit) => sealUpload(tenants, run, requestDigest, audit),
    breakOff: (run, audit) => breakOffUpload(tenants, run, audit),
  };
}

async function appendBatch(tenants: Tenants, run: RunRef, batch: Batch): Promise<void> {
  const { tenant, runId, principal } = run;
  await tenants.for(tenant, principal).transaction(async (client) => {
    const { rowCount } = await client.query(sql(touch, { runId }, 'touch-upload'));
    if (!rowCount) throw new WaybillError('UploadIncomplete', { detail: `${runId} is no longer open` });
    await insertBatch(client, runId, batch);
  });
}

async function touchUpload(tenants: Tenants, { tenant, runId }: RunRef): Promise<void> {
  await tenants.for(tenant).query(sql(touch, { runId }, 'touch-upload'));
}

const touch = `UPDATE waybill.run SET touched_at = now() WHERE id = :runId AND arrival = 'open'`;

async function sealUpload(
  tenants: Tenants,
  { tenant, runId, principal }: RunRef,
  requestDigest: string,
  audit: AuditEvent,
): Promise<Run> {
  return tenants.for(tenant, principal).transaction(async (client) => {
    const { rows } = await client.query(
      sql(
        `WITH r AS (
           UPDATE waybill.run SET arrival = 'sealed', touched_at = now() WHERE id = :runId AND arrival = 'open'
           RETURNING *, NULL::jsonb AS live
         ), settled AS (
           UPDATE waybill.idempotency SET request_digest = :requestDigest WHERE run_id IN (SELECT id FROM r)
         ) SELECT ${runColumns}, pg_notify('waybill_run', r.id) FROM r`,
        { runId, requestDigest },
        'seal-upload',
      ),
    );
    if (!rows[0]) throw new WaybillError('UploadIncomplete', { detail: `${runId} is no longer open` });
    await insertAudit(client, audit);
    return runFromRow(rows[0]);
  });
}

async function breakOffUpload(tenants: Tenants, run: RunRef, audit: AuditEvent): Promise<void> {
  const { tenant, runId, principal } = run;
  await tenants.for(tenant, principal).transaction(async (client) => {
    // Its idempotency key becomes free by a trigger.
    const { rowCount } = await client.query(
      sql(
        `WITH r AS (
           UPDATE waybill.run SET arrival = 'broken' WHERE id = :runId AND arrival = 'open' RETURNING id
         ) SELECT pg_notify('waybill_run', r.id) FROM r`,
        { runId },
        'break-upload',
      ),
    );
    if (rowCount) await insertAudit(client, audit);
  });
}
