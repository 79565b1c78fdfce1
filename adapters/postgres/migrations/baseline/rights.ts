import { forTenants, here } from './rowSecurity.ts';

/**
 * Policies, revocations, keys, and who principals are.
 *
 * Who revoked which right and why is for its tenant to see. That something is revoked every API and every worker must know, of all
 * tenants, since each of them may meet any grant: that is what the view `revoked` shows. `changed` is the transaction that wrote a
 * row last, by which a cache learns what is new without missing what was still uncommitted when it looked last.
 */
export const rights = /* sql */ `
  -- The newest is in force. Only the migrator writes it: a process that decides by a policy cannot change it.
  CREATE TABLE waybill.policy_set (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest text NOT NULL,
    policies jsonb NOT NULL,
    roles jsonb NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by text NOT NULL DEFAULT session_user
  );

  CREATE TABLE waybill.revocation (
    id text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('principal', 'grant', 'key', 'delegation')),
    target text NOT NULL,
    -- None for a key, and for a principal who has signed out everywhere.
    tenant text,
    issued_until timestamptz,
    reason text,
    revoked_by jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    lifted_by jsonb,
    lifted_at timestamptz,
    changed xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT revocation_check CHECK (
      CASE WHEN tenant IS NULL THEN kind = 'key' OR (kind = 'principal' AND issued_until IS NOT NULL)
           ELSE kind <> 'key' END)
  );
  CREATE UNIQUE INDEX revocation_standing
    ON waybill.revocation (target, kind, tenant, (issued_until IS NULL)) NULLS NOT DISTINCT
    WHERE lifted_at IS NULL;
  CREATE INDEX revocation_changed ON waybill.revocation (changed);
  CREATE INDEX revocation_by_tenant ON waybill.revocation (tenant, id DESC);
  CREATE VIEW waybill.revoked AS
    SELECT id, kind, target, tenant, issued_until, lifted_at, changed FROM waybill.revocation;

  -- Public parts of the keys that sign grants. None is ever deleted, so that every grant in the audit can be verified.
  CREATE TABLE waybill.grant_key (
    kid text COLLATE "C" PRIMARY KEY,
    x text NOT NULL,
    created_at timestamptz(0) NOT NULL DEFAULT now(),
    signs_from timestamptz(0) NOT NULL,
    retired_at timestamptz(0),
    -- The key before it endorses it, so that a row is not believed for being there.
    voucher text
  );

  -- Assertions by which workloads have proved who they are, until they expire, so that each counts once.
  CREATE TABLE waybill.workload_assertion (
    workload text NOT NULL,
    jti text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (workload, jti)
  );
  CREATE INDEX workload_assertion_expired ON waybill.workload_assertion (expires_at);

  -- Logout tokens count once, so they are remembered for as long as they would be valid.
  CREATE TABLE waybill.logout_token (
    digest text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE INDEX logout_token_by_age ON waybill.logout_token (seen_at);

  -- Events and revocations name principals by their opaque ids: this is the one place that has to forget a person.
  CREATE TABLE waybill.principal (
    tenant text NOT NULL DEFAULT ${here},
    id text COLLATE "C" NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    kind text NOT NULL,
    PRIMARY KEY (tenant, id)
  );

  ALTER TABLE waybill.revocation ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.revocation TO waybill_api USING (tenant IS NULL OR tenant = ${here});
  ${forTenants('principal', 'waybill_api')}
  GRANT SELECT ON waybill.policy_set, waybill.revoked TO waybill_api, waybill_worker;
  GRANT SELECT, INSERT, UPDATE (issued_until, lifted_by, lifted_at, changed) ON waybill.revocation TO waybill_api;
  GRANT SELECT, INSERT, DELETE ON waybill.workload_assertion, waybill.logout_token TO waybill_api;
  GRANT SELECT, INSERT, UPDATE (retired_at) ON waybill.grant_key TO waybill_api;
  GRANT SELECT, INSERT, UPDATE (kind) ON waybill.principal TO waybill_api;

  -- For what concerns runs of all tenants, such as a key that counts again. A run that is woken asks whether it may go on.
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
`;
