import type { AuditEvent } from '../../domain/audit.ts';
import type { AuditLog, AuditRecord, AuditTrail } from '../../domain/ports/audit.ts';
import { type Params, sql } from '../../domain/sql.ts';
import type { Queries, Tenants } from './tenants.ts';

/** Appends an event within the transaction of its effect. Errors of `pg` pass through to the owner of that transaction. */
export async function insertAudit(client: Queries, event: AuditEvent): Promise<void> {
  await client.query(sql(auditSql('(SELECT) AS always'), auditParams(event), 'insert-audit'));
}

/** What the migrator did, of no tenant and no run. The database knows a role, not a person. */
export function insertMigratorAudit(
  client: Queries,
  {
    outcome = 'success',
    ...event
  }: Pick<AuditEvent, 'action' | 'detail'> & Partial<Pick<AuditEvent, 'outcome'>>,
): Promise<void> {
  return insertAudit(client, { ...event, outcome, tenant: null, actor: null, runId: null, txn: null });
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
  return {
    listOfRun: (tenant, runId, page) => listRunAudit(tenants, tenant, runId, page),
    listOfLetter: (tenant, of, page) => listLetterAudit(tenants, tenant, of, page),
  };
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
  return pageOf(rows, limit);
}

/** Of the runs that had the letter, by their index. The batch that stored its record is the one in which it was settled. */
async function listLetterAudit(
  tenants: Tenants,
  tenant: string,
  { letter, origin, redrives }: Parameters<AuditTrail['listOfLetter']>[1],
  { limit, cursor }: Parameters<AuditTrail['listOfLetter']>[2],
): ReturnType<AuditTrail['listOfLetter']> {
  const names = (event: string) =>
    `(${event}.action LIKE 'dead-letter.%' AND (${event}.detail ->> 'letter' = :letter OR ${event}.detail -> 'letters' ? :letter))`;
  const { rows } = await tenants.for(tenant).query(
    sql(
      `SELECT e.id, e.at, e.tenant, e.run_id, e.txn, e.action, e.outcome, e.actor,
              CASE WHEN e.action LIKE 'dead-letter.%' THEN e.detail - '{letters,before,after}'::text[] || jsonb_strip_nulls(jsonb_build_object(
                'letter', :letter::text, 'before', e.detail -> 'before' -> (place.at - 1)::integer,
                'after', e.detail -> 'after' -> (place.at - 1)::integer)) ELSE e.detail END AS detail
       FROM waybill.audit_event e LEFT JOIN LATERAL (
         SELECT l.at FROM jsonb_array_elements_text(
           CASE jsonb_typeof(e.detail -> 'letters') WHEN 'array' THEN e.detail -> 'letters' END) WITH ORDINALITY l (id, at)
         WHERE e.action LIKE 'dead-letter.%' AND l.id = :letter) place ON true
       WHERE e.tenant = :tenant AND e.run_id = ANY(:runs) AND e.id > :after AND (
         ${names('e')} OR e.action = 'run.accepted'
         OR e.run_id <> :origin AND (e.action IN ('run.published', 'run.completed', 'run.failed', 'run.cancelled')
           OR e.action LIKE 'approval.%' OR e.action LIKE 'decision.%')
         OR e.run_id <> :origin AND e.action = 'batch.stored' AND EXISTS (
           SELECT FROM waybill.audit_event s WHERE s.tenant = :tenant AND s.run_id = e.run_id AND s.action = 'dead-letter.settled'
             AND s.detail -> 'seq' = e.detail -> 'seq' AND ${names('s')}))
       ORDER BY e.id LIMIT :limit`,
      {
        ...{ tenant, letter, origin, runs: [origin, ...redrives] },
        ...{ after: cursor ?? '0', limit: limit + 1 },
      },
      'list-letter-audit',
    ),
  );
  return pageOf(rows, limit);
}

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function pageOf(rows: readonly any[], limit: number): { items: AuditRecord[]; nextCursor: string | null } {
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
