import { type Kysely, sql } from 'kysely';

/** The last failed attempt of each run, so that the run says why it stands still, and what exactly it failed of. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const statements = /* sql */ `
    CREATE TABLE waybill.failed_attempt (
      tenant text NOT NULL DEFAULT ${here},
      run_id text COLLATE "C" NOT NULL,
      step text NOT NULL,
      code text NOT NULL,
      message text NOT NULL,
      attempt integer NOT NULL,
      -- NULL: Temporal does not retry it.
      next_attempt_at timestamptz,
      FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
      PRIMARY KEY (tenant, run_id)
    );
    ALTER TABLE waybill.failed_attempt ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.failed_attempt TO waybill_api, waybill_worker USING (tenant = ${here});

    GRANT SELECT, INSERT, DELETE, UPDATE (step, code, message, attempt, next_attempt_at)
      ON waybill.failed_attempt TO waybill_worker;
    GRANT SELECT ON waybill.failed_attempt TO waybill_api;
  `;
  await sql.raw(statements).execute(db);
}
