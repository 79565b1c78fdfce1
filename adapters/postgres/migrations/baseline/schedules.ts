import { forTenants, here } from './rowSecurity.ts';

/**
 * Schedules, the consents under which they run, and what became of their times. The record is the truth: the relay makes
 * Temporal’s schedule from it, revision by revision. A consent is written once; a time has one outcome.
 */
export const schedules = /* sql */ `
  CREATE TABLE waybill.schedule (
    tenant text NOT NULL DEFAULT ${here},
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
    -- The revision that Temporal has, and when the relay tells it again.
    applied_revision bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- What its owner stopped is not for every principal to resume.
    paused_by jsonb,
    PRIMARY KEY (tenant, id)
  );
  CREATE INDEX schedule_to_apply ON waybill.schedule (due_at) WHERE revision <> applied_revision;

  CREATE TABLE waybill.delegation (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL DEFAULT ${here},
    schedule_id text COLLATE "C" NOT NULL,
    owner text NOT NULL,
    jws text NOT NULL,
    given_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Shows that a pipeline has changed before a firing finds out; the signed text decides.
    definition_digest text NOT NULL DEFAULT '',
    FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id) DEFERRABLE INITIALLY DEFERRED,
    UNIQUE (tenant, schedule_id, id)
  );
  ALTER TABLE waybill.schedule ADD CONSTRAINT schedule_delegation FOREIGN KEY (tenant, id, delegation_id)
    REFERENCES waybill.delegation (tenant, schedule_id, id) DEFERRABLE INITIALLY DEFERRED;

  -- Consents that were replaced. Written once and never deleted, so that no change of a schedule’s record brings one back.
  CREATE TABLE waybill.ended_delegation (
    tenant text NOT NULL DEFAULT ${here},
    delegation_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, delegation_id)
  );

  CREATE TABLE waybill.firing (
    tenant text NOT NULL DEFAULT ${here},
    schedule_id text COLLATE "C" NOT NULL,
    nominal_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('fired', 'blocked', 'missed', 'skipped')),
    run_id text COLLATE "C",
    code text,
    -- The execution in Temporal that asked.
    workflow_id text NOT NULL,
    first_run_id text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, schedule_id, nominal_at),
    FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id),
    FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
    CHECK ((outcome = 'fired') = (run_id IS NOT NULL) AND (outcome = 'fired') = (code IS NULL))
  );
  CREATE UNIQUE INDEX firing_of_run ON waybill.firing (tenant, run_id) WHERE run_id IS NOT NULL;

  -- Runs that users asked for in the place of times that had none, or none that ended well.
  CREATE TABLE waybill.backfill (
    tenant text NOT NULL DEFAULT ${here},
    schedule_id text COLLATE "C" NOT NULL,
    nominal_at timestamptz NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, schedule_id, nominal_at, run_id),
    FOREIGN KEY (tenant, schedule_id) REFERENCES waybill.schedule (tenant, id),
    FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );

  ${['schedule', 'delegation', 'firing', 'backfill', 'ended_delegation'].map((table) => forTenants(table, 'waybill_api')).join('\n')}
  ${['schedule', 'delegation', 'firing', 'backfill']
    .map((table) => `CREATE POLICY relay ON waybill.${table} TO waybill_relay USING (true);`)
    .join('\n')}
  GRANT SELECT, INSERT, UPDATE ON waybill.schedule TO waybill_api;
  GRANT SELECT, INSERT ON waybill.delegation, waybill.ended_delegation, waybill.firing, waybill.backfill TO waybill_api;
  GRANT SELECT, UPDATE (state, reason, revision, applied_revision, attempts, due_at, updated_at) ON waybill.schedule
    TO waybill_relay;
  GRANT SELECT (id, tenant, schedule_id, owner, given_at, expires_at, definition_digest, jws) ON waybill.delegation
    TO waybill_relay;
  GRANT SELECT ON waybill.firing TO waybill_relay;
`;
