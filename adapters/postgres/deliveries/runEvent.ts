import { uuidv7 } from 'uuidv7';

/**
 * As part of a larger statement: reports each run that changed its state to its callback, in the transaction
 * of the change. `changed` is a CTE that returns `runEventColumns` of `waybill.run`; the parameter `:delivery` is
 * `newDeliveryId()`. Then the CTE `called` has a row for each event: notify `waybill_outbox` from it.
 */
export function runEventSql(changed: string): string {
  return `called AS (
            INSERT INTO waybill.delivery (id, tenant, run_id, type, url, data)
            SELECT :delivery, tenant, id, 'run.' || CASE state WHEN 'running' THEN 'resumed' ELSE state END,
                   callback->>'url',
                   json_strip_nulls(json_build_object('run', id, 'tenant', tenant, 'pipeline', pipeline, 'state', state,
                     'counts', counts, 'reason', reason, 'links', callback->'links'))
            FROM ${changed} WHERE callback IS NOT NULL RETURNING id
          )`;
}

/** What an event reports of a run, and its receiver. */
export const runEventColumns = 'id, tenant, pipeline, state, counts, reason, callback';

export function newDeliveryId(): string {
  return `dlv_${uuidv7()}`;
}
