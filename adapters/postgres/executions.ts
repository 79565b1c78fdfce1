import type { Pool } from 'pg';
import type { AuditEvent } from '../../domain/audit.ts';
import type { RunRef } from '../../domain/run.ts';
import { insertAudit } from './audit.ts';
import { fromPostgres } from './failure.ts';
import type { Tenants } from './tenants.ts';

/** One of Temporal’s executions of a run, of which nobody knows yet how it came about. */
export interface Unexamined extends RunRef {
  temporalRunId: string;
  txn: string;
}

/** How an execution came about: `restarted` is one that nothing before it in Temporal explains. */
export type Became = 'continued' | 'reset' | 'restarted';

/** One that is known already stays as it is. */
export async function noteExecution(
  tenants: Tenants,
  { tenant, runId }: RunRef,
  temporalRunId: string,
): Promise<void> {
  try {
    await tenants.for(tenant).query({
      name: 'note-execution',
      text: 'INSERT INTO waybill.execution (run_id, temporal_run_id) VALUES ($1, $2) ON CONFLICT DO NOTHING',
      values: [runId, temporalRunId],
    });
  } catch (error) {
    throw fromPostgres(error);
  }
}

/** As the role `waybill_relay`, which sees those of all tenants. Oldest first. */
export async function listUnexamined(pool: Pool, executionsMax: number): Promise<Unexamined[]> {
  try {
    const { rows } = await pool.query<Unexamined>(
      `SELECT r.id AS "runId", r.tenant, r.txn, e.temporal_run_id AS "temporalRunId"
       FROM waybill.execution e JOIN waybill.run r ON r.id = e.run_id AND r.tenant = e.tenant
       WHERE e.became IS NULL ORDER BY e.seen_at LIMIT $1`,
      [executionsMax],
    );
    return rows;
  } catch (error) {
    throw fromPostgres(error);
  }
}

/** Records it once, with its audit event where it has one; whoever comes second changes nothing. */
export async function recordExamined(
  tenants: Tenants,
  { tenant, runId, temporalRunId }: Unexamined,
  became: Became,
  audit: AuditEvent | undefined,
): Promise<void> {
  await tenants.for(tenant).transaction(async (client) => {
    const { rowCount } = await client.query(
      `UPDATE waybill.execution SET became = $3
       WHERE run_id = $1 AND temporal_run_id = $2 AND became IS NULL`,
      [runId, temporalRunId, became],
    );
    if (rowCount && audit) await insertAudit(client, audit);
  });
}
