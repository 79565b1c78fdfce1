import type { AuditEvent } from '../../domain/audit.ts';
import type { AuditLog, AuditRecord, AuditTrail } from '../../domain/ports/audit.ts';
import type { Queries, Tenants } from './tenants.ts';

/** Appends an event within the transaction of its effect. Errors of `pg` pass through to whoever owns that transaction. */
export async function insertAudit(client: Queries, event: AuditEvent): Promise<void> {
  await client.query({
    name: 'insert-audit',
    text: auditWhere('(SELECT) AS always', 1),
    values: auditValues(event),
  });
}

/** Several who notice the same thing at once come one after the other. */
async function insertAuditOnce(client: Queries, event: AuditEvent): Promise<void> {
  const about = [event.runId, event.action, String(event.detail.execution)];
  await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [about.join(' ')]);
  const { rowCount } = await client.query(
    `SELECT FROM waybill.audit_event WHERE run_id = $1 AND action = $2 AND detail ->> 'execution' = $3 LIMIT 1`,
    about,
  );
  if (!rowCount) await insertAudit(client, event);
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
    async append(event, once) {
      const tenant = tenants.for(event.tenant && keepable(event.tenant));
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
