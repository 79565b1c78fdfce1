import { forTenants } from './rowSecurity.ts';

/**
 * Events on their way to receivers, a row for each event and receiver, written in the transaction of the change that they report.
 * The writer says what and where to, and nothing about how it goes: that is for the role `waybill_relay`, which sends it,
 * and, where a user asks for it again, for the API. An event reports a run or a schedule.
 */
export const deliveries = /* sql */ `
  CREATE TABLE waybill.delivery (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    run_id text COLLATE "C",
    type text NOT NULL,
    -- In the order of its keys, as it is sent.
    data json NOT NULL,
    url text NOT NULL,
    host text NOT NULL GENERATED ALWAYS AS (substring(url FROM '^https?://([^/?#]+)')) STORED,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead-lettered')),
    -- Counts how often it was asked for: by the event, then by users.
    round integer NOT NULL DEFAULT 1,
    -- When the workflow of this round is to be started; NULL once Temporal has it.
    start_at timestamptz DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_attempt_at timestamptz,
    last_status integer,
    last_code text,
    next_attempt_at timestamptz,
    -- An attempt is under way, and counts as such until then if its sender dies.
    sending_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    schedule_id text COLLATE "C",
    delegation_id text COLLATE "C",
    FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
    CONSTRAINT delivery_of_schedule FOREIGN KEY (tenant, schedule_id, delegation_id)
      REFERENCES waybill.delegation (tenant, schedule_id, id),
    CONSTRAINT delivery_of_one CHECK
      ((run_id IS NULL) <> (schedule_id IS NULL) AND (schedule_id IS NULL) = (delegation_id IS NULL))
  );
  CREATE INDEX delivery_by_tenant ON waybill.delivery (tenant, id DESC);
  CREATE INDEX delivery_by_run ON waybill.delivery (tenant, run_id, id);
  CREATE INDEX delivery_to_start ON waybill.delivery (start_at, id) WHERE start_at IS NOT NULL;
  CREATE INDEX delivery_pending ON waybill.delivery (id) WHERE state = 'pending';
  CREATE INDEX delivery_sending ON waybill.delivery (sending_until) WHERE sending_until IS NOT NULL;

  ${forTenants('delivery')}
  CREATE POLICY relay ON waybill.delivery TO waybill_relay USING (true);
  GRANT SELECT (id, tenant), INSERT (id, tenant, run_id, type, data, url) ON waybill.delivery TO waybill_worker;
  GRANT SELECT, INSERT (id, tenant, run_id, type, data, url, schedule_id, delegation_id),
    UPDATE (state, round, start_at, attempts, next_attempt_at, ended_at) ON waybill.delivery TO waybill_api;
  GRANT SELECT, UPDATE (state, start_at, attempts, last_attempt_at, last_status, last_code, next_attempt_at,
                        sending_until, ended_at) ON waybill.delivery TO waybill_relay;
`;
