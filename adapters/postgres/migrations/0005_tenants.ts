import { type Kysely, sql } from 'kysely';

/**
 * The database knows whose each row is. API and workers see the rows of the tenant that their session or transaction
 * names in `waybill.tenant`, and none where it names none; they write no others. What must look across tenants (carrying
 * the outbox to Temporal, noticing runs and uploads that nobody tends) is done as the role `waybill_relay`, and
 * only that role reads grants for it.
 *
 * `nullif`, because a setting that was made once in a session and taken back reads as an empty text.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const ofRun = ['batch', 'stage', 'ledger', 'dead_letter'];

  await sql
    .raw(/* sql */ `
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_relay') THEN
          RAISE 'The role waybill_relay is missing. A superuser makes it: CREATE ROLE waybill_relay LOGIN PASSWORD ‘…’';
        END IF;
      END $$;
      -- So that nothing can hang on another tenant’s run.
      ALTER TABLE waybill.run ADD CONSTRAINT run_of_tenant UNIQUE (tenant, id);
    `)
    .execute(db);

  for (const table of ['batch', 'stage', 'outbox']) {
    const statements = /* sql */ `
      ALTER TABLE waybill.${table} ADD COLUMN tenant text;
      UPDATE waybill.${table} t SET tenant = r.tenant FROM waybill.run r WHERE r.id = t.run_id;
      ALTER TABLE waybill.${table} ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant SET DEFAULT ${here};
    `;
    await sql.raw(statements).execute(db);
  }
  for (const table of ofRun) {
    const statements = /* sql */ `
      ALTER TABLE waybill.${table} DROP CONSTRAINT ${table}_run_id_fkey,
        ADD CONSTRAINT ${table}_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id);
    `;
    await sql.raw(statements).execute(db);
  }
  for (const table of ['run', 'idempotency', 'outbox', 'audit_event', ...ofRun]) {
    const statements = /* sql */ `
      ALTER TABLE waybill.${table} ENABLE ROW LEVEL SECURITY;
      CREATE POLICY tenant ON waybill.${table} TO waybill_api, waybill_worker USING (tenant = ${here});
    `;
    await sql.raw(statements).execute(db);
  }

  const statements = /* sql */ `
    -- Of a caller without a tenant, and of a forged grant, nobody knows whose it is; the refusal is recorded all the same.
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
  `;
  await sql.raw(statements).execute(db);
}
