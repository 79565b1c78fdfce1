import { forTenants, here } from './rowSecurity.ts';

/**
 * Gates at which runs wait for approvers. A worker opens one, counts decisions and ends it; the API records what an approver has
 * decided, signed, for the relay to carry to the run. Neither can do the other’s part. A decision never changes, except for
 * whether it was counted, and that only once.
 */
export const approvals = /* sql */ `
  CREATE TABLE waybill.approval (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL DEFAULT ${here},
    run_id text COLLATE "C" NOT NULL,
    pipeline text NOT NULL,
    gate text NOT NULL CHECK (gate IN ('ingest', 'publish')),
    round integer NOT NULL DEFAULT 1,
    state text NOT NULL CHECK (state IN
      ('pending', 'approved', 'rejected', 'expired', 'void', 'cancelled', 'waived')),
    digest text NOT NULL,
    shown jsonb NOT NULL,
    sample jsonb,
    -- As the manifest declares it.
    terms jsonb NOT NULL,
    -- Roles that may decide now.
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
  -- One gate at a time.
  CREATE UNIQUE INDEX approval_pending ON waybill.approval (tenant, run_id) WHERE state = 'pending';
  CREATE INDEX approval_by_tenant ON waybill.approval (tenant, id DESC);

  CREATE TABLE waybill.decision (
    -- jti of the signed decision.
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL DEFAULT ${here},
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
  -- An approver decides once; a rejected decision leaves room for another.
  CREATE UNIQUE INDEX decision_once ON waybill.decision (tenant, approval_id, principal) WHERE refused IS NULL;
  CREATE INDEX decision_by_approval ON waybill.decision (tenant, approval_id, at);

  ${['approval', 'decision'].map((table) => forTenants(table)).join('\n')}
  CREATE POLICY relay ON waybill.decision FOR SELECT TO waybill_relay USING (true);
  GRANT SELECT ON waybill.approval TO waybill_api;
  GRANT SELECT, INSERT, UPDATE (state, by, expires_at, remind_at, escalated_at, ended_at)
    ON waybill.approval TO waybill_worker;
  GRANT SELECT, INSERT (id, tenant, approval_id, run_id, principal, by, vote, comment, form, jws)
    ON waybill.decision TO waybill_api;
  -- A signal may bring a decision that the API never recorded, so a worker can record one; it cannot sign one.
  GRANT SELECT, INSERT, UPDATE (counted, refused) ON waybill.decision TO waybill_worker;
  GRANT SELECT (id, tenant, run_id, jws, comment, form, refused, counted) ON waybill.decision TO waybill_relay;
`;
