import { type Kysely, sql } from 'kysely';

/**
 * Since when a run is suspended, which outlives its execution in Temporal; the grant that may succeed the one it has; and
 * which executions it has had there, so that one that nobody knows of is noticed.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const statements = /* sql */ `
    ALTER TABLE waybill.run ADD COLUMN suspended_at timestamptz, ADD COLUMN successor_id text;
    GRANT SELECT (suspended_at, successor_id), UPDATE (suspended_at) ON waybill.run TO waybill_worker;
    GRANT SELECT (definition_digest) ON waybill.run TO waybill_relay;

    CREATE TABLE waybill.execution (
      tenant text NOT NULL DEFAULT ${here},
      run_id text COLLATE "C" NOT NULL,
      temporal_run_id text NOT NULL,
      -- NULL: nobody has asked Temporal yet.
      became text CHECK (became IN ('first', 'continued', 'reset', 'restarted')),
      seen_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, temporal_run_id),
      CONSTRAINT execution_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
    );
    CREATE INDEX execution_unexamined ON waybill.execution (seen_at) WHERE became IS NULL;
    ALTER TABLE waybill.execution ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.execution TO waybill_worker USING (tenant = ${here});
    CREATE POLICY relay ON waybill.execution FOR SELECT TO waybill_relay USING (true);
    GRANT SELECT, INSERT, UPDATE (became) ON waybill.execution TO waybill_worker;
    GRANT SELECT ON waybill.execution TO waybill_relay;
  `;
  await sql.raw(statements).execute(db);
}
