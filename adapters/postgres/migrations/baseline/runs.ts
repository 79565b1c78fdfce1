import { forTenants, here } from './rowSecurity.ts';

/**
 * Runs and everything that belongs to one. The migrator owns all of it; the API and the workers get exactly the
 * verbs that they need, so that append-only tables are append-only for them.
 *
 * The input of a run is sealed once, and by the process that receives it: an upload, or records within a request, by the API; what a
 * worker fetches by the worker (`guard_arrival`).
 */
export const runs = /* sql */ `
  CREATE TABLE waybill.run (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    pipeline text NOT NULL,
    version integer NOT NULL,
    definition_digest text NOT NULL,
    manifest jsonb NOT NULL,
    state text NOT NULL CHECK (state IN
      ('accepted', 'running', 'awaiting-approval', 'suspended', 'completed', 'failed', 'cancelled')),
    principal text NOT NULL,
    requested_by jsonb NOT NULL,
    parameters jsonb NOT NULL,
    source jsonb NOT NULL,
    callback jsonb,
    grant_jws text NOT NULL,
    txn text NOT NULL,
    arrival text NOT NULL CHECK (arrival IN ('open', 'sealed', 'broken')),
    touched_at timestamptz NOT NULL DEFAULT now(),
    counts jsonb,
    reason jsonb,
    cancel_requested_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    ended_at timestamptz,
    -- Outlives the execution in Temporal.
    suspended_at timestamptz,
    -- The grant that may replace the one of the run.
    successor_id text,
    -- The execution in Temporal in which the run began, so that another in its place is noticed.
    first_execution text,
    -- So that nothing can refer to another tenant’s run.
    CONSTRAINT run_of_tenant UNIQUE (tenant, id)
  );
  CREATE INDEX run_by_tenant ON waybill.run (tenant, created_at DESC, id DESC);
  CREATE INDEX run_open ON waybill.run (created_at) WHERE ended_at IS NULL;
  CREATE INDEX run_suspended ON waybill.run (tenant) WHERE state = 'suspended';

  CREATE TABLE waybill.batch (
    run_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    digest text NOT NULL,
    size_bytes bigint NOT NULL,
    first_byte bigint NOT NULL,
    first_record bigint NOT NULL,
    first_line bigint NOT NULL,
    records bigint NOT NULL,
    header jsonb,
    refused text,
    arrived_at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL DEFAULT ${here},
    -- A retry reads on only in the same version of the source. Heartbeats cannot tell it: any client of Temporal can send one.
    source_version text,
    PRIMARY KEY (run_id, seq),
    CONSTRAINT batch_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );

  CREATE TABLE waybill.stage (
    run_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    stage text NOT NULL CHECK (stage IN ('validate', 'transform')),
    digest text NOT NULL,
    size_bytes bigint NOT NULL,
    rejected_digest text,
    counts jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL DEFAULT ${here},
    -- The highest value of the cursor’s field among the records of a batch, where the source has such a cursor.
    highest text,
    PRIMARY KEY (run_id, seq, stage),
    CONSTRAINT stage_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );

  CREATE TABLE waybill.idempotency (
    tenant text NOT NULL,
    principal text NOT NULL,
    pipeline text NOT NULL,
    key text NOT NULL,
    run_id text NOT NULL,
    request_digest text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, principal, pipeline, key)
  );
  CREATE INDEX idempotency_by_run ON waybill.idempotency (run_id);

  CREATE TABLE waybill.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CONSTRAINT outbox_kind_check CHECK (kind IN ('start', 'cancel', 'wake', 'adopt', 'decide')),
    run_id text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL DEFAULT ${here},
    -- The decision that an entry carries.
    decision_id text
  );
  CREATE INDEX outbox_due ON waybill.outbox (due_at, id);

  CREATE TABLE waybill.audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant text,
    run_id text,
    txn text,
    action text NOT NULL,
    outcome text NOT NULL,
    actor jsonb,
    detail jsonb NOT NULL
  );
  CREATE INDEX audit_event_by_run ON waybill.audit_event (run_id, id);

  ${['run', 'batch', 'stage', 'idempotency', 'outbox', 'audit_event'].map((table) => forTenants(table)).join('\n')}
  -- A caller without a tenant and a forged grant belong to no tenant; the refusal is recorded all the same.
  CREATE POLICY unplaced ON waybill.audit_event FOR INSERT TO waybill_api, waybill_worker WITH CHECK (tenant IS NULL);
  CREATE POLICY relay ON waybill.audit_event FOR INSERT TO waybill_relay WITH CHECK (action LIKE 'delivery.%');
  CREATE POLICY relay_schedules ON waybill.audit_event FOR INSERT TO waybill_relay
    WITH CHECK (action LIKE 'schedule.%');
  CREATE POLICY relay ON waybill.run TO waybill_relay USING (true);
  CREATE POLICY relay ON waybill.batch FOR SELECT TO waybill_relay USING (true);
  CREATE POLICY relay ON waybill.outbox TO waybill_relay USING (true);
  CREATE POLICY relay ON waybill.idempotency TO waybill_relay USING (true);

  GRANT USAGE ON SCHEMA waybill TO waybill_api, waybill_worker, waybill_relay;
  GRANT SELECT, INSERT ON waybill.audit_event, waybill.batch TO waybill_api, waybill_worker;
  GRANT INSERT ON waybill.audit_event TO waybill_relay;
  GRANT SELECT, INSERT ON waybill.stage TO waybill_worker;
  GRANT SELECT ON waybill.stage TO waybill_api;
  GRANT SELECT, INSERT, UPDATE ON waybill.run TO waybill_api;
  GRANT SELECT (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by, parameters,
                source, callback, txn, arrival, touched_at, counts, reason, cancel_requested_by, created_at, started_at,
                ended_at, suspended_at, successor_id, first_execution),
    UPDATE (state, counts, reason, arrival, started_at, ended_at, suspended_at, first_execution)
    ON waybill.run TO waybill_worker;
  GRANT SELECT (id, tenant, state, requested_by, manifest, source, grant_jws, txn, arrival, touched_at, reason,
                created_at, ended_at, definition_digest, first_execution), UPDATE (arrival) ON waybill.run TO waybill_relay;
  GRANT SELECT (tenant, run_id, size_bytes) ON waybill.batch TO waybill_relay;
  GRANT SELECT, INSERT, UPDATE, DELETE ON waybill.idempotency TO waybill_api;
  GRANT SELECT, DELETE ON waybill.idempotency TO waybill_worker;
  GRANT SELECT (run_id), DELETE ON waybill.idempotency TO waybill_relay;
  GRANT SELECT, INSERT ON waybill.outbox TO waybill_api;
  GRANT SELECT, INSERT, UPDATE (attempts, due_at), DELETE ON waybill.outbox TO waybill_relay;

  CREATE FUNCTION waybill.guard_arrival() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      IF OLD.arrival <> 'open' THEN
        RAISE 'The arrival of run % is settled: %.', OLD.id, OLD.arrival USING ERRCODE = 'insufficient_privilege';
      END IF;
      IF NEW.arrival = 'sealed' AND current_user <>
          (CASE WHEN NEW.source ->> 'kind' IN ('upload', 'inline') THEN 'waybill_api' ELSE 'waybill_worker' END) THEN
        RAISE 'The input of run % is not for % to seal.', OLD.id, current_user USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN NEW;
    END $$;
  CREATE TRIGGER guard_arrival BEFORE UPDATE OF arrival ON waybill.run
    FOR EACH ROW WHEN (OLD.arrival IS DISTINCT FROM NEW.arrival) EXECUTE FUNCTION waybill.guard_arrival();
`;
