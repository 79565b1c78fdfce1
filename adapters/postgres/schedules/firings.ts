import type { ClientBase } from 'pg';
import type { Firings, RecordedFiring, ShownFiring } from '../../../domain/ports/firings.ts';
import type { RunReason } from '../../../domain/runs/runFacts.ts';
import type { Schedule } from '../../../domain/schedules/schedule.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import type { Callback } from '../../../domain/webhooks/callback.ts';
import { insertAudit } from '../audit.ts';
import { newDeliveryId } from '../deliveries/runEvent.ts';
import { notifyRelay } from '../outbox.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Queries, Tenants } from '../tenants.ts';

/** What became of the times of schedules, for the API. The run that a time begins is recorded with the run (`runs/acceptRun.ts`). */
export function createFirings(tenants: Tenants): Firings {
  return {
    async list(tenant, id, { limit, cursor }) {
      const found = await selectFirings(
        tenants.for(tenant),
        `f.schedule_id = :id AND (:cursor::timestamptz IS NULL OR f.nominal_at < :cursor)
         ORDER BY f.nominal_at DESC LIMIT :limit`,
        { tenant, id, cursor: cursor ?? null, limit: limit + 1 },
      );
      const items = found
        .slice(0, limit)
        .map(({ firstRunId: _, begun: __, run, ...firing }) => ({ firing, run }));
      return { items, nextCursor: found.length > limit ? items.at(-1)!.firing.nominalAt : null };
    },

    async decidedTimes({ tenant, id }, { fromMs, toMs }) {
      const { rows } = await tenants.for(tenant).query<{ nominal_at: Date }>(
        sql(
          `SELECT nominal_at FROM waybill.firing
           WHERE tenant = :tenant AND schedule_id = :id AND nominal_at BETWEEN :from AND :to ORDER BY nominal_at`,
          { tenant, id, from: new Date(fromMs), to: new Date(toMs) },
        ),
      );
      return rows.map((row) => row.nominal_at.toISOString());
    },

    async find(tenant, id, nominalAt) {
      const [found] = await selectFirings(
        tenants.for(tenant),
        'f.schedule_id = :id AND f.nominal_at = :nominalAt',
        {
          tenant,
          id,
          nominalAt,
        },
      );
      return found;
    },

    async last(tenant, id) {
      const { rows } = await tenants.for(tenant).query(
        sql(
          `SELECT f.nominal_at, f.run_id, r.ended_at
           FROM waybill.firing f JOIN waybill.run r ON r.tenant = f.tenant AND r.id = f.run_id
           WHERE f.tenant = :tenant AND f.schedule_id = :id ORDER BY f.nominal_at DESC LIMIT 1`,
          { tenant, id },
          'schedule-last-fired',
        ),
      );
      const [last] = rows;
      return (
        last && {
          nominalAt: last.nominal_at.toISOString(),
          runId: last.run_id,
          endedAt: last.ended_at?.toISOString() ?? null,
        }
      );
    },

    async hasFailed({ tenant, id }) {
      const { rowCount } = await tenants.for(tenant).query(
        sql(
          `SELECT FROM waybill.schedule s
             JOIN waybill.firing f ON f.tenant = s.tenant AND f.schedule_id = s.id
             JOIN waybill.run r ON r.tenant = f.tenant AND r.id = f.run_id
           WHERE s.tenant = :tenant AND s.id = :id AND r.state = 'failed' AND r.ended_at >= s.active_since LIMIT 1`,
          { tenant, id },
          'schedule-has-failed',
        ),
      );
      return rowCount === 1;
    },

    async record(schedule, { nominalAt, execution, outcome, code }, block, audit) {
      const { tenant, id, revision } = schedule;
      const { workflowId, firstRunId } = execution;
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, code, workflow_id, first_run_id)
             VALUES (:tenant, :id, :nominalAt, :outcome, :code, :workflowId, :firstRunId) ON CONFLICT DO NOTHING`,
            { tenant, id, nominalAt, outcome, code, workflowId, firstRunId },
          ),
        );
        if (!rowCount) return;
        if (block) {
          await client.query(
            sql(
              `UPDATE waybill.schedule SET state = 'blocked', reason = :reason, revision = revision + 1,
                 updated_at = now(), due_at = now(), attempts = 0
               WHERE tenant = :tenant AND id = :id AND revision = :revision AND state = 'active'`,
              { tenant, id, revision, reason: jsonParam(block.reason) },
            ),
          );
          await announce(client, schedule, nominalAt, block);
          await notifyRelay(client);
        }
        await insertAudit(client, audit);
      });
      return (await this.find(tenant, id, nominalAt))!;
    },

    async listAttempts(tenant, id, { from, to }) {
      const { rows } = await tenants.for(tenant).query(
        sql(
          `SELECT a.nominal_at, r.id, r.state
           FROM (SELECT tenant, nominal_at, run_id, at FROM waybill.firing
                 WHERE tenant = :tenant AND schedule_id = :id AND nominal_at BETWEEN :from AND :to
                   AND run_id IS NOT NULL
                 UNION ALL
                 SELECT tenant, nominal_at, run_id, at FROM waybill.backfill
                 WHERE tenant = :tenant AND schedule_id = :id AND nominal_at BETWEEN :from AND :to) a
           JOIN waybill.run r ON r.tenant = a.tenant AND r.id = a.run_id ORDER BY a.nominal_at, a.at`,
          { tenant, id, from, to },
        ),
      );
      return rows.map((row) => ({
        nominalAt: row.nominal_at.toISOString(),
        runId: row.id,
        state: row.state,
      }));
    },

    async recordBackfill(tenant, id, nominalAt, runId) {
      await tenants.for(tenant).query(
        sql(
          `INSERT INTO waybill.backfill (tenant, schedule_id, nominal_at, run_id)
           VALUES (:tenant, :id, :nominalAt, :runId) ON CONFLICT DO NOTHING`,
          { tenant, id, nominalAt, runId },
        ),
      );
    },
  };
}

/** Without a consent no owner has agreed to a receiver. */
async function announce(
  client: ClientBase,
  { tenant, id, pipeline, delegation }: Schedule,
  at: string,
  { reason, callback }: { reason: RunReason; callback: Callback | null },
): Promise<void> {
  if (!callback || !delegation) return;
  const { url, links } = callback;
  const data = { schedule: id, tenant, pipeline, state: 'blocked', at, reason, links };
  await client.query(
    sql(
      `INSERT INTO waybill.delivery (id, tenant, schedule_id, delegation_id, type, data, url)
       VALUES (:delivery, :tenant, :id, :delegationId, 'schedule.blocked', :data, :url)`,
      { delivery: newDeliveryId(), tenant, id, delegationId: delegation.id, data: jsonParam(data), url },
    ),
  );
}

async function selectFirings(
  queries: Queries,
  where: string,
  params: Params,
): Promise<(RecordedFiring & Pick<ShownFiring, 'run'>)[]> {
  const { rows } = await queries.query(
    sql(
      `SELECT ${runColumns}, r.grant_jws, r.manifest, f.*,
         (SELECT b.run_id FROM waybill.backfill b
          WHERE b.tenant = f.tenant AND b.schedule_id = f.schedule_id AND b.nominal_at = f.nominal_at
          ORDER BY b.at DESC LIMIT 1) AS backfilled_by
       FROM waybill.firing f
         LEFT JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.tenant = f.tenant AND r.id = f.run_id
       WHERE f.tenant = :tenant AND ${where}`,
      params,
    ),
  );
  return rows.map((row) => ({
    nominalAt: row.nominal_at.toISOString(),
    outcome: row.outcome,
    runId: row.run_id,
    code: row.code,
    at: row.at.toISOString(),
    backfilledBy: row.backfilled_by,
    firstRunId: row.first_run_id,
    run: row.run_id && runFromRow(row),
    begun: row.run_id && {
      runId: row.run_id,
      requestedBy: row.requested_by,
      grant: row.grant_jws,
      manifest: row.manifest,
    },
  }));
}
