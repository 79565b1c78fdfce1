import type { Pool } from 'pg';
import type { DeliveryRef } from '../../../domain/webhooks/webhookDelivery.ts';
import { asked } from '../failure.ts';

/** A delivery whose workflow is to be started. */
export interface DueDelivery extends DeliveryRef {
  tenant: string;
  /** The run or the schedule that it tells of. */
  about: string;
  type: string;
  host: string;
}

/**
 * Hands up to `deliveriesMax` deliveries that are due to be started to `start`; those that it resolves for are Temporal’s
 * from then on, the others are due again half a minute later. Unlike with the outbox no transaction is open meanwhile: the
 * first attempt of one may come before the last of them has been started. Returns how many were found.
 */
export async function relayDeliveries(
  pool: Pool,
  deliveriesMax: number,
  start: (delivery: DueDelivery) => Promise<void>,
): Promise<number> {
  const { rows } = await asked(
    pool.query<DueDelivery>({
      name: 'delivery-due',
      text: `UPDATE waybill.delivery SET start_at = now() + (20 + 20 * random()) * interval '1 second'
             WHERE id IN (SELECT id FROM waybill.delivery WHERE start_at <= now() ORDER BY start_at, id LIMIT $1
                          FOR UPDATE SKIP LOCKED)
             RETURNING id, round, tenant, coalesce(run_id, schedule_id) AS about, type, host`,
      values: [deliveriesMax],
    }),
  );
  const results = await Promise.allSettled(rows.map(start));
  const started = rows.filter((_, i) => results[i]!.status === 'fulfilled');
  if (started.length > 0) {
    await asked(
      pool.query({
        name: 'delivery-started',
        text: `UPDATE waybill.delivery d SET start_at = NULL
               FROM unnest($1::text[], $2::integer[]) AS s(id, round) WHERE d.id = s.id AND d.round = s.round`,
        values: [started.map(({ id }) => id), started.map(({ round }) => round)],
      }),
    );
  }
  return rows.length;
}

/** Pending for more than a minute and started, in the order of their ids: Temporal should know them. */
export async function listPendingDeliveries(
  pool: Pool,
  afterId: string,
  deliveriesMax: number,
): Promise<DeliveryRef[]> {
  const { rows } = await asked(
    pool.query<DeliveryRef>(
      `SELECT id, round FROM waybill.delivery
       WHERE state = 'pending' AND start_at IS NULL AND id > $1 AND created_at < now() - interval '1 minute'
       ORDER BY id LIMIT $2`,
      [afterId, deliveriesMax],
    ),
  );
  return rows;
}

/** Has one that Temporal has never heard of, or has lost, started again. */
export async function restartDelivery(pool: Pool, { id, round }: DeliveryRef): Promise<void> {
  await asked(
    pool.query(
      `UPDATE waybill.delivery SET start_at = now() WHERE id = $1 AND round = $2 AND state = 'pending'`,
      [id, round],
    ),
  );
}
