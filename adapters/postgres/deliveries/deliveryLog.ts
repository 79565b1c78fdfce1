import type { Pool } from 'pg';
import type { AttemptFailure, DeliveryLog } from '../../../domain/ports/deliveries.ts';
import { sql } from '../../../domain/sql.ts';
import {
  attemptMaxMs,
  type DeliveryRef,
  type DeliveryState,
  underWayMax,
} from '../../../domain/webhooks/webhookDelivery.ts';
import { insertAudit } from '../audit.ts';
import { inTransaction } from '../connect.ts';
import { asked } from '../failure.ts';

/**
 * The deliveries of all tenants, for those who make them. A place among the attempts under way is a time in the row: it is
 * given back when the attempt’s outcome is recorded, and by itself otherwise, so that no killed worker leaks one.
 */
export function createDeliveryLog(pool: Pool): DeliveryLog {
  return {
    claim: (ref) => claim(pool, ref),
    delivered: (claim, status) => end(pool, claim, 'delivered', { status, code: null }),
    abandon: (ref, failure) => end(pool, ref, 'dead-lettered', failure),
    async failed({ id, round, attempt }, { status, code }, retryAfterMs) {
      // An attempt that was given up for dead says nothing of the one after it.
      await asked(
        pool.query(
          sql(
            `UPDATE waybill.delivery SET last_status = :status, last_code = :code, sending_until = NULL,
               next_attempt_at = now() + :retryAfterMs::bigint * interval '1 millisecond'
             WHERE id = :id AND round = :round AND attempts = :attempt AND state = 'pending'`,
            { id, round, attempt, status, code, retryAfterMs },
            'delivery-failed',
          ),
        ),
      );
    },
  };
}

/** Claims come one after the other, so that each counts those before it. */
async function claim(pool: Pool, { id, round }: DeliveryRef): ReturnType<DeliveryLog['claim']> {
  return inTransaction(pool, async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('waybill.delivery'))`);
    const { rows } = await client.query(
      sql(
        `
        WITH mine AS (
          SELECT * FROM waybill.delivery WHERE id = :id
        ), others AS (
          SELECT count(*) FILTER (WHERE o.host = mine.host) AS host, count(*) FILTER (WHERE o.tenant = mine.tenant) AS tenant
          FROM waybill.delivery o, mine WHERE o.sending_until > clock_timestamp() AND o.id <> mine.id
        ), claimed AS (
          UPDATE waybill.delivery d
          SET attempts = d.attempts + 1, last_attempt_at = clock_timestamp(), last_status = NULL, last_code = NULL,
              next_attempt_at = NULL, sending_until = clock_timestamp() + :attemptMaxMs::integer * interval '1 millisecond'
          FROM others
          WHERE d.id = :id AND d.round = :round AND d.state = 'pending' AND others.host < :hostMax
            AND others.tenant < :tenantMax
          RETURNING d.attempts
        )
        SELECT mine.state = 'pending' AND mine.round = :round AS due, mine.type, mine.tenant, mine.run_id,
               mine.schedule_id, mine.url, mine.data, mine.created_at,
               coalesce(
                 (SELECT grant_jws FROM waybill.run r WHERE r.id = mine.run_id AND r.tenant = mine.tenant),
                 (SELECT jws FROM waybill.delegation d WHERE d.id = mine.delegation_id AND d.tenant = mine.tenant)) AS grant,
               claimed.attempts AS attempt
        FROM mine LEFT JOIN claimed ON true`,
        { id, round, hostMax: underWayMax.host, tenantMax: underWayMax.tenant, attemptMaxMs },
        'delivery-claim',
      ),
    );
    const [row] = rows;
    if (!row) return { outcome: 'unknown' };
    if (!row.due) return { outcome: 'over' };
    if (row.attempt === null) return { outcome: 'busy' };
    const { type, tenant, run_id: runId, schedule_id: scheduleId, url, data, grant, attempt } = row;
    const event = { id, type, timestamp: row.created_at.toISOString(), data };
    return {
      outcome: 'claimed',
      claim: { id, round, event, url, tenant, runId, scheduleId, grant, attempt },
    };
  });
}

async function end(
  pool: Pool,
  { id, round }: DeliveryRef,
  state: Exclude<DeliveryState, 'pending'>,
  last?: Pick<AttemptFailure, 'status'> & { code: AttemptFailure['code'] | null },
): Promise<void> {
  await inTransaction(pool, async (client) => {
    const { rows } = await client.query(
      sql(
        `UPDATE waybill.delivery d SET state = :state, ended_at = now(), sending_until = NULL, next_attempt_at = NULL,
           last_status = CASE WHEN :tried THEN :status ELSE last_status END,
           last_code = CASE WHEN :tried THEN :code ELSE last_code END
         WHERE id = :id AND round = :round AND state = 'pending'
         RETURNING tenant, run_id, type, host, attempts, last_status, last_code,
           (SELECT txn FROM waybill.run r WHERE r.id = d.run_id)`,
        {
          id,
          round,
          state,
          tried: last !== undefined,
          status: last?.status ?? null,
          code: last?.code ?? null,
        },
        'delivery-end',
      ),
    );
    const [ended] = rows;
    if (!ended) return;
    const { type, host, attempts, last_status: status, last_code: code } = ended;
    await insertAudit(client, {
      action: `delivery.${state}`,
      outcome: state === 'delivered' ? 'success' : 'failure',
      tenant: ended.tenant,
      actor: null,
      runId: ended.run_id,
      txn: ended.txn,
      detail: { delivery: id, type, host, round, attempts, status, code },
    });
  });
}
