import { uuidv7 } from 'uuidv7';

/**
 * As part of a larger statement: tells whoever wanted to be called back about runs whose state has changed, in the very
 * transaction of the change. `changed` is a CTE that returns `calledBackBy` of `waybill.run`; `id` is the number of the parameter
 * that `newDeliveryId` gives. Then the CTE `called` has a row for each event: notify `waybill_outbox` from it.
 */
export function runEventSql(changed: string, id: number): string {
  return `called AS (
            INSERT INTO waybill.delivery (id, tenant, run_id, type, url, data)
            SELECT $${id}, tenant, id, 'run.' || CASE state WHEN 'running' THEN 'resumed' ELSE state END,
                   callback->>'url',
                   json_strip_nulls(json_build_object('run', id, 'tenant', tenant, 'pipeline', pipeline, 'state', state,
                     'counts', counts, 'reason', reason, 'links', callback->'links'))
            FROM ${changed} WHERE callback IS NOT NULL RETURNING id
          )`;
}

/** What an event tells of a run, and where to. */
export const calledBackBy = 'id, tenant, pipeline, state, counts, reason, callback';

export function newDeliveryId(): string {
  return `dlv_${uuidv7()}`;
}
