/**
 * As part of a larger statement: reports approvals that have changed, in the transaction of the change, to the callback of the run
 * and to the receiver that the pipeline names. `changed` is a CTE with rows of `waybill.approval`; `type` is SQL for
 * the type of the event; the parameter `:base` is the address of the API, without a slash at its end. Then the CTE
 * `told` has a row for each event: notify `waybill_outbox` from it.
 *
 * Links are those of the run: the sender compares them with what was signed, or makes them again (`runLinksOf`).
 */
export function approvalEventSql(changed: string, type: string): string {
  const self = `:base::text || '/v1/runs/' || a.run_id`;
  return `told AS (
            INSERT INTO waybill.delivery (id, tenant, run_id, type, url, data)
            SELECT 'dlv_' || uuidv7(), a.tenant, a.run_id, ${type}, receiver.url,
                   json_build_object('approval', a.id, 'run', a.run_id, 'tenant', a.tenant, 'pipeline', a.pipeline,
                     'gate', a.gate, 'state', a.state, 'by', a.by, 'quorum', a.terms->'quorum',
                     'expiresAt', to_char(a.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                     'links', receiver.links)
            FROM ${changed} a JOIN waybill.run told_of ON told_of.id = a.run_id,
                 LATERAL (SELECT DISTINCT ON (url) url, links
                          FROM (VALUES (1, told_of.callback->>'url', told_of.callback->'links'),
                                       (2, a.terms->>'notify', jsonb_build_object('self', ${self},
                                         'events', ${self} || '/events', 'audit', ${self} || '/audit'))) v (n, url, links)
                          WHERE url IS NOT NULL ORDER BY url, n) receiver
            RETURNING id
          )`;
}
