import type { Pool } from 'pg';
import type { AttemptFailure, DeliveryLog } from '../../../domain/ports/deliveries.ts';
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
        pool.query({
          name: 'delivery-failed',
          text: `UPDATE waybill.delivery SET last_status = $4, last_code = $5, sending_until = NULL,
                   next_attempt_at = now() + $6::bigint * interval '1 millisecond'
                 WHERE id = $1 AND round = $2 AND attempts = $3 AND state = 'pending'`,
          values: [id, round, attempt, status, code, retryAfterMs],
        }),
      );
    },
  };
}

/** Claims come one after the other, so that each counts those before it. */
async function claim(pool: Pool, { id, round }: DeliveryRef): ReturnType<DeliveryLog['claim']> {
  return inTransaction(pool, async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtext('waybill.delivery'))`);
    const { rows } = await client.query({
      name: 'delivery-claim',
      text: `
        WITH mine AS (
          SELECT * FROM waybill.delivery WHERE id = $1
        ), others AS (
          SELECT count(*) FILTER (WHERE o.host = mine.host) AS host, count(*) FILTER (WHERE o.tenant = mine.tenant) AS tenant
          FROM waybill.delivery o, mine WHERE o.sending_until > clock_timestamp() AND o.id <> mine.id
        ), claimed AS (
          UPDATE waybill.delivery d
          SET attempts = d.attempts + 1, last_attempt_at = clock_timestamp(), last_status = NULL, last_code = NULL,
              next_attempt_at = NULL, sending_until = clock_timestamp() + $5::integer * interval '1 millisecond'
          FROM others
          WHERE d.id = $1 AND d.round = $2 AND d.state = 'pending' AND others.host < $3 AND others.tenant < $4
          RETURNING d.attempts
        )
        SELECT mine.state = 'pending' AND mine.round = $2 AS due, mine.type, mine.tenant, mine.run_id,
               mine.schedule_id, mine.url, mine.data, mine.created_at,
               coalesce(
                 (SELECT grant_jws FROM waybill.run r WHERE r.id = mine.run_id AND r.tenant = mine.tenant),
                 (SELECT jws FROM waybill.delegation d WHERE d.id = mine.delegation_id AND d.tenant = mine.tenant)) AS grant,
               claimed.attempts AS attempt
        FROM mine LEFT JOIN claimed ON true`,
      values: [id, round, underWayMax.host, underWayMax.tenant, attemptMaxMs],
    });
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
    const { rows } = await client.query({
      name: 'delivery-end',
      text: `UPDATE waybill.delivery d SET state = $3, ended_at = now(), sending_until = NULL, next_attempt_at = NULL,
               last_status = CASE WHEN $4 THEN $5 ELSE last_status END,
               last_code = CASE WHEN $4 THEN $6 ELSE last_code END
             WHERE id = $1 AND round = $2 AND state = 'pending'
             RETURNING tenant, run_id, type, host, attempts, last_status, last_code,
               (SELECT txn FROM waybill.run r WHERE r.id = d.run_id)`,
      values: [id, round, state, last !== undefined, last?.status ?? null, last?.code ?? null],
    });
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
