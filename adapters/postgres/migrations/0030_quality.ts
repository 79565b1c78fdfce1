import { type Kysely, sql } from 'kysely';

/** What the quality rules of a pipeline saw of each batch, and what they found in a run. Neither is ever changed. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [measures, results, audit]) await sql.raw(statements).execute(db);
}

/** Goes with the record of its stage. The keys of `unique` rules are hashes, so that they do not compress. */
const measures = /* sql */ `
  CREATE TABLE waybill.quality_measure (
    tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
    run_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    stage text NOT NULL DEFAULT 'transform' CHECK (stage = 'transform'),
    measures jsonb NOT NULL,
    keys bytea STORAGE EXTERNAL,
    PRIMARY KEY (run_id, seq),
    CONSTRAINT quality_measure_of_stage FOREIGN KEY (run_id, seq, stage)
      REFERENCES waybill.stage (run_id, seq, stage) ON DELETE CASCADE
  );
  ALTER TABLE waybill.quality_measure ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.quality_measure TO waybill_worker
    USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
  GRANT SELECT, INSERT (tenant, run_id, seq, measures, keys) ON waybill.quality_measure TO waybill_worker;
`;

/** Beside what the policies name already. */
const audit = /* sql */ `
  DO $$ BEGIN
    EXECUTE (SELECT format(
      'ALTER POLICY of_workers ON waybill.audit_event WITH CHECK ((%s) OR action = ''quality.assessed'')',
      pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
      WHERE polname = 'of_workers' AND polrelid = 'waybill.audit_event'::regclass);
    EXECUTE (SELECT format(
      'ALTER POLICY of_apis ON waybill.audit_event WITH CHECK ((%s) AND action <> ''quality.assessed'')',
      pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
      WHERE polname = 'of_apis' AND polrelid = 'waybill.audit_event'::regclass);
  END $$;
`;

/** Goes with the record of its run. */
const results = /* sql */ `
  CREATE TABLE waybill.quality_result (
    tenant text NOT NULL DEFAULT nullif(current_setting('waybill.tenant', true), ''),
    run_id text COLLATE "C" PRIMARY KEY,
    pipeline text NOT NULL,
    version integer NOT NULL,
    result jsonb NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT quality_result_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id) ON DELETE CASCADE
  );
  CREATE INDEX quality_result_by_pipeline ON waybill.quality_result (tenant, pipeline, run_id);
  ALTER TABLE waybill.quality_result ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.quality_result TO waybill_api, waybill_worker
    USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
  GRANT SELECT ON waybill.quality_result TO waybill_api;
  GRANT SELECT, INSERT (tenant, run_id, pipeline, version, result) ON waybill.quality_result TO waybill_worker;
`;
