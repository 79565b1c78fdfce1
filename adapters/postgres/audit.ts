import type { AuditEvent } from '../../domain/audit.ts';
import type { AuditLog, AuditRecord, AuditTrail } from '../../domain/ports/audit.ts';
import { type Params, sql } from '../../domain/sql.ts';
import type { Queries, Tenants } from './tenants.ts';

/** Appends an event within the transaction of its effect. Errors of `pg` pass through to the owner of that transaction. */
export async function insertAudit(client: Queries, event: AuditEvent): Promise<void> {
  await client.query(sql(auditSql('(SELECT) AS always'), auditParams(event), 'insert-audit'));
}

/**
 * The same as part of a larger statement: an insert that happens where the CTE `effect` has a row, so that effect and
 * event take one round trip and one commit. Give its parameters by `auditParams`, with the same `prefix`.
 */
export function auditSql(effect: string, prefix = 'audit'): string {
  const columns = ['tenant', 'run_id', 'txn', 'action', 'outcome', 'actor', 'detail'];
  const values = columns.map(
    (name) => `:${prefix}_${name}::${/^(actor|detail)$/.test(name) ? 'jsonb' : 'text'}`,
  );
  return `INSERT INTO waybill.audit_event (${columns.join(', ')}) SELECT ${values.join(', ')} FROM ${effect}`;
}

export function auditParams(event: AuditEvent, prefix = 'audit'): Params {
  const { tenant, runId, txn, action, outcome, actor, detail } = event;
  return {
    [`${prefix}_tenant`]: tenant && storable(tenant),
    [`${prefix}_run_id`]: runId && storable(runId),
    [`${prefix}_txn`]: txn,
    [`${prefix}_action`]: action,
    [`${prefix}_outcome`]: outcome,
    [`${prefix}_actor`]: actor && storableJson(actor),
    [`${prefix}_detail`]: storableJson(detail),
  };
}

function storableJson(value: object): string | null {
  return JSON.stringify(value, (_, one) => (typeof one === 'string' ? storable(one) : one));
}

/**
 * Without what PostgreSQL keeps in no text (a zero byte) or no JSON (half a surrogate pair). Some of these texts come from a caller
 * who is rejected, and none of them may prevent the record of the rejection.
 */
function storable(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed();
}

/** For facts that have no other effect to commit with, such as a denial. */
export function createAuditLog(tenants: Tenants): AuditLog {
  return {
    async append(event, once) {
      const tenant = tenants.for(event.tenant && storable(event.tenant));
      if (once) await tenant.transaction((client) => insertAuditOnce(client, event));
      else await insertAudit(tenant, event);
    },
  };
}

export function createAuditTrail(tenants: Tenants): AuditTrail {
  return { listOfRun: (tenant, runId, page) => listRunAudit(tenants, tenant, runId, page) };
}

/** Audit events of one run in the order in which they were recorded. */
async function listRunAudit(
  tenants: Tenants,
  tenant: string,
  runId: string,
  { limit, cursor }: Parameters<AuditTrail['listOfRun']>[2],
): ReturnType<AuditTrail['listOfRun']> {
  const { rows } = await tenants.for(tenant).query(
    sql(
      `SELECT id, at, tenant, run_id, txn, action, outcome, actor, detail FROM waybill.audit_event
       WHERE tenant = :tenant AND run_id = :runId AND id > :after ORDER BY id LIMIT :limit`,
      { tenant, runId, after: cursor ?? '0', limit: limit + 1 },
      'list-run-audit',
    ),
  );
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

/** When several processes notice the same thing at once, one records it. */
async function insertAuditOnce(client: Queries, event: AuditEvent): Promise<void> {
  const about = { runId: event.runId, action: event.action, execution: String(event.detail.execution) };
  await client.query(
    sql('SELECT pg_advisory_xact_lock(hashtextextended(:about, 0))', {
      about: Object.values(about).join(' '),
    }),
  );
  const { rowCount } = await client.query(
    sql(
      `SELECT FROM waybill.audit_event
       WHERE run_id = :runId AND action = :action AND detail ->> 'execution' = :execution LIMIT 1`,
      about,
    ),
  );
  if (!rowCount) await insertAudit(client, event);
}
