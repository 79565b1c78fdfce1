-- The database of the version before the baseline: schema `waybill` as its 17 migrations left it, and what they recorded of themselves.
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
  ended_at timestamptz
);
CREATE INDEX run_by_tenant ON waybill.run (tenant, created_at DESC, id DESC);
CREATE INDEX run_open ON waybill.run (created_at) WHERE ended_at IS NULL;
CREATE TABLE waybill.batch (
  run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
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
  PRIMARY KEY (run_id, seq)
);
CREATE TABLE waybill.stage (
  run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
  seq integer NOT NULL,
  stage text NOT NULL CHECK (stage IN ('validate', 'transform')),
  digest text NOT NULL,
  size_bytes bigint NOT NULL,
  rejected_digest text,
  counts jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (run_id, seq, stage)
);
CREATE TABLE waybill.ledger (
  tenant text NOT NULL,
  run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
  seq integer NOT NULL,
  counts jsonb NOT NULL,
  stored_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, run_id, seq)
);
CREATE TABLE waybill.dead_letter (
  id text COLLATE "C" PRIMARY KEY,
  tenant text NOT NULL,
  run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
  pipeline text NOT NULL,
  version integer NOT NULL,
  principal text NOT NULL,
  seq integer NOT NULL,
  position bigint NOT NULL,
  line bigint NOT NULL,
  byte_offset bigint NOT NULL,
  byte_length bigint NOT NULL,
  stage text NOT NULL,
  code text NOT NULL,
  path text NOT NULL,
  message text NOT NULL,
  raw bytea,
  object jsonb,
  state text NOT NULL DEFAULT 'open',
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((raw IS NULL) <> (object IS NULL))
);
CREATE INDEX dead_letter_by_run ON waybill.dead_letter (tenant, run_id, position);
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
  kind text NOT NULL CHECK (kind IN ('start', 'cancel')),
  run_id text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now()
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
GRANT USAGE ON SCHEMA waybill TO waybill_api, waybill_worker;
GRANT SELECT, INSERT ON waybill.audit_event, waybill.batch TO waybill_api, waybill_worker;
GRANT SELECT, INSERT ON waybill.stage, waybill.ledger, waybill.dead_letter TO waybill_worker;
GRANT SELECT ON waybill.stage, waybill.ledger, waybill.dead_letter TO waybill_api;
GRANT SELECT, INSERT, UPDATE ON waybill.run TO waybill_api;
GRANT SELECT, UPDATE (state, counts, reason, arrival, started_at, ended_at) ON waybill.run TO waybill_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON waybill.idempotency TO waybill_api;
GRANT SELECT, DELETE ON waybill.idempotency TO waybill_worker;
GRANT SELECT, INSERT ON waybill.outbox TO waybill_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON waybill.outbox TO waybill_worker;
CREATE TABLE waybill.policy_set (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest text NOT NULL,
  policies jsonb NOT NULL,
  roles jsonb NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_by text NOT NULL DEFAULT session_user
);
GRANT SELECT ON waybill.policy_set TO waybill_api, waybill_worker;
CREATE TABLE waybill.revocation (
  id text COLLATE "C" PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('principal', 'grant', 'key', 'delegation')),
  target text NOT NULL,
  tenant text,
  issued_until timestamptz,
  reason text,
  revoked_by jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  lifted_by jsonb,
  lifted_at timestamptz,
  changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CHECK ((kind = 'key') = (tenant IS NULL))
);
CREATE UNIQUE INDEX revocation_standing
  ON waybill.revocation (target, kind, tenant, (issued_until IS NULL)) NULLS NOT DISTINCT
  WHERE lifted_at IS NULL;
CREATE INDEX revocation_changed ON waybill.revocation (changed);
CREATE INDEX revocation_by_tenant ON waybill.revocation (tenant, id DESC);
CREATE INDEX run_suspended ON waybill.run (tenant) WHERE state = 'suspended';
ALTER TABLE waybill.revocation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON waybill.revocation TO waybill_api
  USING (tenant IS NULL OR tenant = nullif(current_setting('waybill.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE (issued_until, lifted_by, lifted_at, changed) ON waybill.revocation TO waybill_api;
CREATE VIEW waybill.revoked AS
  SELECT id, kind, target, tenant, issued_until, lifted_at, changed FROM waybill.revocation;
GRANT SELECT ON waybill.revoked TO waybill_api, waybill_worker;
ALTER TABLE waybill.outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE waybill.outbox ADD CONSTRAINT outbox_kind_check
  CHECK (kind IN ('start', 'cancel', 'wake', 'adopt'));
CREATE FUNCTION waybill.wake_suspended(code text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
  BEGIN
    INSERT INTO waybill.outbox (tenant, kind, run_id)
      SELECT r.tenant, 'wake', r.id FROM waybill.run r
      WHERE r.state = 'suspended' AND r.reason ->> 'code' = wake_suspended.code;
    PERFORM pg_notify('waybill_outbox', '');
  END $$;
REVOKE ALL ON FUNCTION waybill.wake_suspended FROM PUBLIC;
GRANT EXECUTE ON FUNCTION waybill.wake_suspended TO waybill_api;
CREATE TABLE waybill.grant_key (
  kid text COLLATE "C" PRIMARY KEY,
  x text NOT NULL,
  created_at timestamptz(0) NOT NULL DEFAULT now(),
  signs_from timestamptz(0) NOT NULL,
  retired_at timestamptz(0)
);
CREATE TABLE waybill.workload_assertion (
  workload text NOT NULL,
  jti text NOT NULL,
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (workload, jti)
);
CREATE INDEX workload_assertion_expired ON waybill.workload_assertion (expires_at);
GRANT SELECT, INSERT, DELETE ON waybill.workload_assertion TO waybill_api;
GRANT SELECT, INSERT, UPDATE (retired_at) ON waybill.grant_key TO waybill_api;
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_relay') THEN
      RAISE 'The role waybill_relay is missing. A superuser makes it: CREATE ROLE waybill_relay LOGIN PASSWORD ‘…’';
    END IF;
  END $$;
  ALTER TABLE waybill.run ADD CONSTRAINT run_of_tenant UNIQUE (tenant, id);
ALTER TABLE waybill.batch ADD COLUMN tenant text;
  UPDATE waybill.batch t SET tenant = r.tenant FROM waybill.run r WHERE r.id = t.run_id;
  ALTER TABLE waybill.batch ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant SET DEFAULT nullif(current_setting('waybill.tenant', true), '');
ALTER TABLE waybill.stage ADD COLUMN tenant text;
  UPDATE waybill.stage t SET tenant = r.tenant FROM waybill.run r WHERE r.id = t.run_id;
  ALTER TABLE waybill.stage ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant SET DEFAULT nullif(current_setting('waybill.tenant', true), '');
ALTER TABLE waybill.outbox ADD COLUMN tenant text;
  UPDATE waybill.outbox t SET tenant = r.tenant FROM waybill.run r WHERE r.id = t.run_id;
  ALTER TABLE waybill.outbox ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant SET DEFAULT nullif(current_setting('waybill.tenant', true), '');
ALTER TABLE waybill.batch DROP CONSTRAINT batch_run_id_fkey,
    ADD CONSTRAINT batch_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id);
ALTER TABLE waybill.stage DROP CONSTRAINT stage_run_id_fkey,
    ADD CONSTRAINT stage_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id);
ALTER TABLE waybill.ledger DROP CONSTRAINT ledger_run_id_fkey,
    ADD CONSTRAINT ledger_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id);
ALTER TABLE waybill.dead_letter DROP CONSTRAINT dead_letter_run_id_fkey,
    ADD CONSTRAINT dead_letter_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id);
ALTER TABLE waybill.run ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.run TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.idempotency ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.idempotency TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.outbox ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.outbox TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.audit_event ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.audit_event TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.batch ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.batch TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.stage ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.stage TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.ledger ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.ledger TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.dead_letter ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.dead_letter TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
CREATE POLICY unplaced ON waybill.audit_event FOR INSERT TO waybill_api, waybill_worker WITH CHECK (tenant IS NULL);
CREATE POLICY relay ON waybill.run TO waybill_relay USING (true);
CREATE POLICY relay ON waybill.batch FOR SELECT TO waybill_relay USING (true);
CREATE POLICY relay ON waybill.outbox TO waybill_relay USING (true);
CREATE POLICY relay ON waybill.idempotency TO waybill_relay USING (true);
GRANT USAGE ON SCHEMA waybill TO waybill_relay;
GRANT SELECT (id, tenant, state, requested_by, manifest, source, grant_jws, txn, arrival, touched_at, reason,
              created_at, ended_at), UPDATE (arrival) ON waybill.run TO waybill_relay;
GRANT SELECT (tenant, run_id, size_bytes) ON waybill.batch TO waybill_relay;
GRANT SELECT, INSERT, UPDATE (attempts, due_at), DELETE ON waybill.outbox TO waybill_relay;
GRANT SELECT (run_id), DELETE ON waybill.idempotency TO waybill_relay;
REVOKE ALL ON waybill.outbox FROM waybill_worker;
REVOKE SELECT ON waybill.run FROM waybill_worker;
GRANT SELECT (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by, parameters,
              source, callback, txn, arrival, touched_at, counts, reason, cancel_requested_by, created_at, started_at,
              ended_at) ON waybill.run TO waybill_worker;
CREATE TABLE waybill.logout_token (
  digest text PRIMARY KEY,
  seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX logout_token_by_age ON waybill.logout_token (seen_at);
GRANT SELECT, INSERT, DELETE ON waybill.logout_token TO waybill_api;
ALTER TABLE waybill.revocation DROP CONSTRAINT revocation_check, ADD CONSTRAINT revocation_check CHECK (
  CASE WHEN tenant IS NULL THEN kind = 'key' OR (kind = 'principal' AND issued_until IS NOT NULL)
       ELSE kind <> 'key' END);
CREATE TABLE waybill.delivery (
  id text COLLATE "C" PRIMARY KEY,
  tenant text NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  type text NOT NULL,
  data json NOT NULL,
  url text NOT NULL,
  host text NOT NULL GENERATED ALWAYS AS (substring(url FROM '^https?://([^/?#]+)')) STORED,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead-lettered')),
  round integer NOT NULL DEFAULT 1,
  start_at timestamptz DEFAULT now(),
  attempts integer NOT NULL DEFAULT 0,
  last_attempt_at timestamptz,
  last_status integer,
  last_code text,
  next_attempt_at timestamptz,
  sending_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz,
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
);
CREATE INDEX delivery_by_tenant ON waybill.delivery (tenant, id DESC);
CREATE INDEX delivery_by_run ON waybill.delivery (tenant, run_id, id);
CREATE INDEX delivery_to_start ON waybill.delivery (start_at, id) WHERE start_at IS NOT NULL;
CREATE INDEX delivery_pending ON waybill.delivery (id) WHERE state = 'pending';
CREATE INDEX delivery_sending ON waybill.delivery (sending_until) WHERE sending_until IS NOT NULL;
ALTER TABLE waybill.delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON waybill.delivery TO waybill_api, waybill_worker
  USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
CREATE POLICY relay ON waybill.delivery TO waybill_relay USING (true);
GRANT SELECT (id, tenant), INSERT (id, tenant, run_id, type, data, url) ON waybill.delivery TO waybill_worker;
GRANT SELECT, INSERT (id, tenant, run_id, type, data, url),
  UPDATE (state, round, start_at, attempts, next_attempt_at, ended_at) ON waybill.delivery TO waybill_api;
GRANT SELECT, UPDATE (state, start_at, attempts, last_attempt_at, last_status, last_code, next_attempt_at,
                      sending_until, ended_at) ON waybill.delivery TO waybill_relay;
CREATE POLICY relay ON waybill.audit_event FOR INSERT TO waybill_relay WITH CHECK (action LIKE 'delivery.%');
GRANT INSERT ON waybill.audit_event TO waybill_relay;
ALTER TABLE waybill.run
  ADD COLUMN suspended_at timestamptz, ADD COLUMN successor_id text, ADD COLUMN first_execution text;
GRANT SELECT (suspended_at, successor_id, first_execution), UPDATE (suspended_at, first_execution)
  ON waybill.run TO waybill_worker;
GRANT SELECT (definition_digest, first_execution) ON waybill.run TO waybill_relay;
ALTER TABLE waybill.grant_key ADD COLUMN voucher text;
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
CREATE TABLE waybill.approval (
  id text COLLATE "C" PRIMARY KEY,
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  run_id text COLLATE "C" NOT NULL,
  pipeline text NOT NULL,
  gate text NOT NULL CHECK (gate IN ('ingest', 'publish')),
  round integer NOT NULL DEFAULT 1,
  state text NOT NULL CHECK (state IN
    ('pending', 'approved', 'rejected', 'expired', 'void', 'cancelled', 'waived')),
  digest text NOT NULL,
  shown jsonb NOT NULL,
  sample jsonb,
  terms jsonb NOT NULL,
  by jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  remind_at timestamptz,
  escalated_at timestamptz,
  ended_at timestamptz,
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
  UNIQUE (tenant, id),
  UNIQUE (tenant, run_id, gate, round),
  CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX approval_pending ON waybill.approval (tenant, run_id) WHERE state = 'pending';
CREATE INDEX approval_by_tenant ON waybill.approval (tenant, id DESC);
CREATE TABLE waybill.decision (
  id text COLLATE "C" PRIMARY KEY,
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  approval_id text COLLATE "C" NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  principal text NOT NULL,
  by jsonb NOT NULL,
  vote text NOT NULL CHECK (vote IN ('approve', 'reject')),
  comment text,
  form jsonb,
  jws text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  counted boolean,
  refused text,
  FOREIGN KEY (tenant, approval_id) REFERENCES waybill.approval (tenant, id),
  CHECK (counted IS NOT TRUE OR refused IS NULL)
);
CREATE UNIQUE INDEX decision_once ON waybill.decision (tenant, approval_id, principal) WHERE refused IS NULL;
CREATE INDEX decision_by_approval ON waybill.decision (tenant, approval_id, at);
CREATE TABLE waybill.sink_version (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  table_name text NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (tenant, table_name)
);
ALTER TABLE waybill.outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE waybill.outbox ADD CONSTRAINT outbox_kind_check
  CHECK (kind IN ('start', 'cancel', 'wake', 'adopt', 'decide'));
ALTER TABLE waybill.outbox ADD COLUMN decision_id text;
GRANT SELECT ON waybill.approval TO waybill_api;
GRANT SELECT, INSERT, UPDATE (state, by, expires_at, remind_at, escalated_at, ended_at)
  ON waybill.approval TO waybill_worker;
GRANT SELECT, INSERT (id, tenant, approval_id, run_id, principal, by, vote, comment, form, jws)
  ON waybill.decision TO waybill_api;
GRANT SELECT, INSERT, UPDATE (counted, refused) ON waybill.decision TO waybill_worker;
GRANT SELECT, INSERT, UPDATE ON waybill.sink_version TO waybill_worker;
GRANT SELECT (id, tenant, run_id, jws, comment, form, refused, counted) ON waybill.decision TO waybill_relay;
ALTER TABLE waybill.approval ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.approval TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.decision ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.decision TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.sink_version ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.sink_version TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
CREATE POLICY relay ON waybill.decision FOR SELECT TO waybill_relay USING (true);
CREATE TABLE waybill.schedule (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  id text COLLATE "C" NOT NULL,
  pipeline text NOT NULL,
  definition jsonb NOT NULL,
  terms jsonb NOT NULL,
  note text,
  declared boolean NOT NULL,
  owner jsonb NOT NULL,
  delegation_id text COLLATE "C",
  state text NOT NULL CHECK (state IN ('active', 'paused', 'blocked', 'deleted')),
  reason jsonb,
  active_since timestamptz NOT NULL DEFAULT now(),
  revision bigint NOT NULL DEFAULT 1,
  applied_revision bigint NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, id)
);
CREATE INDEX schedule_to_apply ON waybill.schedule (due_at) WHERE revision <> applied_revision;
CREATE TABLE waybill.delegation (
  id text COLLATE "C" PRIMARY KEY,
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  schedule_id text COLLATE "C" NOT NULL,
  owner text NOT NULL,
  jws text NOT NULL,
  given_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id) DEFERRABLE INITIALLY DEFERRED,
  UNIQUE (tenant, schedule_id, id)
);
ALTER TABLE waybill.schedule ADD CONSTRAINT schedule_delegation FOREIGN KEY (tenant, id, delegation_id)
  REFERENCES waybill.delegation (tenant, schedule_id, id) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE waybill.firing (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  schedule_id text COLLATE "C" NOT NULL,
  nominal_at timestamptz NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('fired', 'blocked', 'missed', 'skipped')),
  run_id text COLLATE "C",
  code text,
  workflow_id text NOT NULL,
  first_run_id text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, schedule_id, nominal_at),
  FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id),
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
  CHECK ((outcome = 'fired') = (run_id IS NOT NULL) AND (outcome = 'fired') = (code IS NULL))
);
CREATE UNIQUE INDEX firing_of_run ON waybill.firing (tenant, run_id) WHERE run_id IS NOT NULL;
CREATE TABLE waybill.backfill (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  schedule_id text COLLATE "C" NOT NULL,
  nominal_at timestamptz NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, schedule_id, nominal_at, run_id),
  FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id),
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
);
GRANT SELECT, INSERT, UPDATE ON waybill.schedule TO waybill_api;
GRANT SELECT, INSERT ON waybill.delegation, waybill.firing, waybill.backfill TO waybill_api;
GRANT SELECT, UPDATE (state, reason, revision, applied_revision, attempts, due_at, updated_at) ON waybill.schedule
  TO waybill_relay;
GRANT SELECT (id, tenant, schedule_id, owner, given_at, expires_at) ON waybill.delegation TO waybill_relay;
GRANT SELECT ON waybill.firing TO waybill_relay;
CREATE POLICY relay_schedules ON waybill.audit_event FOR INSERT TO waybill_relay
  WITH CHECK (action LIKE 'schedule.%');
ALTER TABLE waybill.schedule ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.schedule TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
    CREATE POLICY relay ON waybill.schedule TO waybill_relay USING (true);
ALTER TABLE waybill.delegation ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.delegation TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
    CREATE POLICY relay ON waybill.delegation TO waybill_relay USING (true);
ALTER TABLE waybill.firing ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.firing TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
    CREATE POLICY relay ON waybill.firing TO waybill_relay USING (true);
ALTER TABLE waybill.backfill ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.backfill TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
    CREATE POLICY relay ON waybill.backfill TO waybill_relay USING (true);
CREATE TABLE waybill.watermark (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  pipeline text NOT NULL,
  key text COLLATE "C" NOT NULL,
  source jsonb NOT NULL,
  mark jsonb NOT NULL,
  run_id text COLLATE "C" NOT NULL,
  moved_at timestamptz NOT NULL DEFAULT now(),
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
  PRIMARY KEY (tenant, pipeline, key)
);
CREATE TABLE waybill.source_window (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  run_id text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  extent jsonb NOT NULL,
  FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
  PRIMARY KEY (tenant, run_id)
);
ALTER TABLE waybill.stage ADD COLUMN highest text;
GRANT SELECT, INSERT, UPDATE (mark, run_id, moved_at) ON waybill.watermark TO waybill_worker;
GRANT SELECT, INSERT ON waybill.source_window TO waybill_worker;
GRANT SELECT ON waybill.watermark, waybill.source_window TO waybill_api;
ALTER TABLE waybill.watermark ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.watermark TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.source_window ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.source_window TO waybill_api, waybill_worker USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.delegation ADD COLUMN definition_digest text NOT NULL DEFAULT '';
GRANT SELECT (definition_digest) ON waybill.delegation TO waybill_relay;
ALTER TABLE waybill.delivery
  ALTER COLUMN run_id DROP NOT NULL,
  ADD COLUMN schedule_id text COLLATE "C",
  ADD COLUMN delegation_id text COLLATE "C",
  ADD CONSTRAINT delivery_of_schedule FOREIGN KEY (tenant, schedule_id, delegation_id)
    REFERENCES waybill.delegation (tenant, schedule_id, id),
  ADD CONSTRAINT delivery_of_one CHECK
    ((run_id IS NULL) <> (schedule_id IS NULL) AND (schedule_id IS NULL) = (delegation_id IS NULL));
GRANT INSERT (schedule_id, delegation_id) ON waybill.delivery TO waybill_api;
GRANT SELECT (jws) ON waybill.delegation TO waybill_relay;
CREATE TABLE waybill.ended_delegation (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  delegation_id text COLLATE "C" NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, delegation_id)
);
INSERT INTO waybill.ended_delegation (tenant, delegation_id)
  SELECT d.tenant, d.id FROM waybill.delegation d JOIN waybill.schedule s ON s.tenant = d.tenant AND s.id = d.schedule_id
  WHERE s.state = 'deleted' OR d.id <> s.delegation_id;
ALTER TABLE waybill.ended_delegation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON waybill.ended_delegation TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
GRANT SELECT, INSERT ON waybill.ended_delegation TO waybill_api;
ALTER TABLE waybill.schedule ADD COLUMN paused_by jsonb;
CREATE TABLE waybill.principal (
  tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
  id text COLLATE "C" NOT NULL,
  issuer text NOT NULL,
  subject text NOT NULL,
  kind text NOT NULL,
  PRIMARY KEY (tenant, id)
);
INSERT INTO waybill.principal (tenant, id, issuer, subject, kind)
SELECT tenant, who->>'id', who->>'issuer', who->>'subject', who->>'kind'
FROM (SELECT tenant, requested_by AS known FROM waybill.run
      UNION ALL SELECT tenant, by FROM waybill.decision
      UNION ALL SELECT tenant, owner FROM waybill.schedule) found,
  LATERAL (VALUES (known), (known->'actor')) each (who)
WHERE tenant IS NOT NULL AND who ?& ARRAY['id', 'issuer', 'subject', 'kind']
ON CONFLICT DO NOTHING;
GRANT SELECT, INSERT, UPDATE (kind) ON waybill.principal TO waybill_api;
ALTER TABLE waybill.principal ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON waybill.principal TO waybill_api USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
ALTER TABLE waybill.batch ADD COLUMN source_version text;
CREATE TABLE waybill.kysely_migration (name varchar(255) NOT NULL PRIMARY KEY, timestamp varchar(255) NOT NULL);
CREATE TABLE waybill.kysely_migration_lock (id varchar(255) NOT NULL PRIMARY KEY, is_locked integer NOT NULL DEFAULT 0);
INSERT INTO waybill.kysely_migration_lock VALUES ('migration_lock', 0);
INSERT INTO waybill.kysely_migration VALUES
  ('0001_runs', '2026-01-01T00:00:00.000Z'),
  ('0002_policy', '2026-01-01T00:00:01.000Z'),
  ('0003_revocation', '2026-01-01T00:00:02.000Z'),
  ('0004_keys', '2026-01-01T00:00:03.000Z'),
  ('0005_tenants', '2026-01-01T00:00:04.000Z'),
  ('0006_logout', '2026-01-01T00:00:05.000Z'),
  ('0006_webhooks', '2026-01-01T00:00:06.000Z'),
  ('0007_suspension', '2026-01-01T00:00:07.000Z'),
  ('0008_keys_vouched', '2026-01-01T00:00:08.000Z'),
  ('0009_approvals', '2026-01-01T00:00:09.000Z'),
  ('0010_schedules', '2026-01-01T00:00:10.000Z'),
  ('0011_watermarks', '2026-01-01T00:00:11.000Z'),
  ('0012_consents', '2026-01-01T00:00:12.000Z'),
  ('0013_schedule_events', '2026-01-01T00:00:13.000Z'),
  ('0015_ended_consents', '2026-01-01T00:00:14.000Z'),
  ('0016_principals', '2026-01-01T00:00:15.000Z'),
  ('0016_source_versions', '2026-01-01T00:00:16.000Z');
