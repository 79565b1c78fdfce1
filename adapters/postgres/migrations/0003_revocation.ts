import { type Kysely, sql } from 'kysely';

/**
 * Rights that were withdrawn. Who withdrew which and why is for their tenant to see. That something is withdrawn every
 * API and every worker must know, of all tenants, since each of them may meet anybody’s grant: that is what the view
 * `revoked` shows. `changed` is the transaction that wrote a row last, by which a copy that is kept elsewhere learns
 * what is new without missing what was still uncommitted when it looked last.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
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
  await sql.raw(statements).execute(db);
}
