import { WaybillError } from '../../../domain/errors.ts';
import type { Deliveries, ShownDelivery } from '../../../domain/ports/deliveries.ts';
import { type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Tenants } from '../tenants.ts';

/** The deliveries of tenants, for the API. */
export function createDeliveries(tenants: Tenants): Deliveries {
  async function rows(tenant: string, name: string, where: string, params: Params): Promise<ShownDelivery[]> {
    const { rows } = await tenants.for(tenant).query(sql(`${select} ${where}`, { tenant, ...params }, name));
    return rows.map(shownFromRow);
  }

  const find: Deliveries['find'] = async (tenant, id) => {
    const [found] = await rows(tenant, 'find-delivery', 'AND d.id = :id', { id });
    return found;
  };

  return {
    find,

    async list(tenant, { runId, state, limit, cursor }) {
      const found = await rows(
        tenant,
        'list-deliveries',
        `AND (:runId::text IS NULL OR d.run_id = :runId) AND (:state::text IS NULL OR d.state = :state)
         AND (:cursor::text IS NULL OR d.id < :cursor) ORDER BY d.id DESC LIMIT :limit`,
        { runId: runId ?? null, state: state ?? null, cursor: cursor ?? null, limit: limit + 1 },
      );
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? items.at(-1)!.delivery.id : null };
    },

    async redeliver(tenant, id, audit) {
      await tenants.for(tenant, audit.actor?.id).transaction(async (client) => {
        const { rowCount } = await client.query(
          sql(
            `WITH again AS (
               UPDATE waybill.delivery SET state = 'pending', round = round + 1, start_at = now(), attempts = 0,
                 next_attempt_at = NULL, ended_at = NULL
               WHERE tenant = :tenant AND id = :id AND state <> 'pending' RETURNING id
             ) SELECT pg_notify('waybill_outbox', '') FROM again`,
            { tenant, id },
          ),
        );
        if (!rowCount) throw new WaybillError('DeliveryPending');
        await insertAudit(client, audit);
      });
      return (await find(tenant, id))!.delivery;
    },
  };
}

/** With what it tells of, since by that the policy decides who may see it. */
const select = `
  SELECT ${runColumns}, jsonb_build_object('id', d.id, 'type', d.type, 'state', d.state, 'attempts', d.attempts,
           'to', substring(d.url FROM '^https?://[^/?#]+'), 'lastStatus', d.last_status, 'lastCode', d.last_code,
           'scheduleId', d.schedule_id) AS delivery,
         d.last_attempt_at, d.next_attempt_at, d.created_at AS sent_at, d.ended_at AS told_at,
         s.definition AS scheduled
  FROM waybill.delivery d
  LEFT JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.tenant = d.tenant AND r.id = d.run_id
  LEFT JOIN waybill.schedule s ON s.tenant = d.tenant AND s.id = d.schedule_id
  WHERE d.tenant = :tenant`;

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function shownFromRow(row: any): ShownDelivery {
  const { lastStatus, lastCode, ...delivery } = row.delivery;
  const run = row.id === null ? undefined : runFromRow(row);
  return {
    ...(run && { run }),
    ...(row.scheduled && { scheduled: row.scheduled }),
    delivery: {
      ...delivery,
      runId: run?.id ?? null,
      lastAttempt: row.last_attempt_at && {
        at: row.last_attempt_at.toISOString(),
        status: lastStatus,
        code: lastCode,
      },
      nextAttemptAt: row.next_attempt_at?.toISOString() ?? null,
      createdAt: row.sent_at.toISOString(),
      endedAt: row.told_at?.toISOString() ?? null,
    },
  };
}
