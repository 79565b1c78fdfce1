import { type Kysely, sql } from 'kysely';
import { forTenants, here } from './baseline/rowSecurity.ts';

/** What a step looked up for a batch, and values that later calls need not ask for. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.stage DROP CONSTRAINT stage_stage_check,
      ADD CONSTRAINT stage_stage_check CHECK (stage IN ('validate', 'enrich', 'transform')),
      ADD COLUMN lookups bytea;
    GRANT INSERT (lookups) ON waybill.stage TO waybill_worker;

    -- A cache: what is missing is asked for again.
    CREATE TABLE waybill.lookup (
      tenant text NOT NULL DEFAULT ${here},
      -- A definition, or a run alone.
      scope text NOT NULL,
      key_digest text NOT NULL,
      -- NULL: there is none.
      value jsonb,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (tenant, scope, key_digest)
    );
    CREATE INDEX lookup_expired ON waybill.lookup (tenant, expires_at);
    ${forTenants('lookup', 'waybill_worker')}
    GRANT SELECT, INSERT (tenant, scope, key_digest, value, expires_at), UPDATE (value, expires_at), DELETE
      ON waybill.lookup TO waybill_worker;

    DO $$ BEGIN
      EXECUTE (SELECT format(
        'ALTER POLICY of_workers ON waybill.audit_event WITH CHECK ((%s) OR action = ''batch.enriched'')',
        pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
        WHERE polname = 'of_workers' AND polrelid = 'waybill.audit_event'::regclass);
      EXECUTE (SELECT format(
        'ALTER POLICY of_apis ON waybill.audit_event WITH CHECK ((%s) AND action <> ''batch.enriched'')',
        pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
        WHERE polname = 'of_apis' AND polrelid = 'waybill.audit_event'::regclass);
    END $$;
  `;
  await sql.raw(statements).execute(db);
}
