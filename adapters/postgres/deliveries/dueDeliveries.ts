import type { Pool } from 'pg';
import type { DueDeliveries, DueDelivery } from '../../../domain/ports/deliveries.ts';
import { sql } from '../../../domain/sql.ts';
import type { DeliveryRef } from '../../../domain/webhooks/webhookDelivery.ts';
import { asked } from '../failure.ts';

export function createDueDeliveries(pool: Pool): DueDeliveries {
  return {
    relay: (deliveriesMax, start) => relayDeliveries(pool, deliveriesMax, start),
    listPending: (afterId, deliveriesMax) => listPendingDeliveries(pool, afterId, deliveriesMax),
    restart: (delivery) => restartDelivery(pool, delivery),
  };
}

async function relayDeliveries(
  pool: Pool,
  deliveriesMax: number,
  start: (delivery: DueDelivery) => Promise<void>,
): Promise<number> {
  const { rows } = await asked(
    pool.query<DueDelivery>(
      sql(
        `UPDATE waybill.delivery SET start_at = now() + (20 + 20 * random()) * interval '1 second'
         WHERE id IN (SELECT id FROM waybill.delivery WHERE start_at <= now() ORDER BY start_at, id
                      LIMIT :deliveriesMax FOR UPDATE SKIP LOCKED)
         RETURNING id, round, tenant, coalesce(run_id, schedule_id) AS about, type, host`,
        { deliveriesMax },
        'delivery-due',
      ),
    ),
  );
  const results = await Promise.allSettled(rows.map(start));
  const started = rows.filter((_, i) => results[i]!.status === 'fulfilled');
  if (started.length > 0) {
    await asked(
      pool.query(
        sql(
          `UPDATE waybill.delivery d SET start_at = NULL
           FROM unnest(:ids::text[], :rounds::integer[]) AS s(id, round) WHERE d.id = s.id AND d.round = s.round`,
          { ids: started.map(({ id }) => id), rounds: started.map(({ round }) => round) },
          'delivery-started',
        ),
      ),
    );
  }
  return rows.length;
}

async function listPendingDeliveries(
  pool: Pool,
  afterId: string,
  deliveriesMax: number,
): Promise<DeliveryRef[]> {
  const { rows } = await asked(
    pool.query<DeliveryRef>(
      sql(
        `SELECT id, round FROM waybill.delivery
         WHERE state = 'pending' AND start_at IS NULL AND id > :afterId AND created_at < now() - interval '1 minute'
         ORDER BY id LIMIT :deliveriesMax`,
        { afterId, deliveriesMax },
      ),
    ),
  );
  return rows;
}

async function restartDelivery(pool: Pool, { id, round }: DeliveryRef): Promise<void> {
  await asked(
    pool.query(
      sql(
        `UPDATE waybill.delivery SET start_at = now() WHERE id = :id AND round = :round AND state = 'pending'`,
        { id, round },
      ),
    ),
  );
}
