import { type Kysely, sql } from 'kysely';

/**
 * How far a pipeline has read a source that is read bit by bit, and what each run of it reads. A window never changes once
 * it stands; a mark is moved by the transaction that stores the last batch of a run.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const statements = /* sql */ `
    CREATE TABLE waybill.watermark (
      tenant text NOT NULL DEFAULT ${here},
      pipeline text NOT NULL,
      -- Digest of the source, the cursor and the version of the definition: what else would be another sequence.
      key text COLLATE "C" NOT NULL,
      source jsonb NOT NULL,
      mark jsonb NOT NULL,
      -- The run that moved it there.
      run_id text COLLATE "C" NOT NULL,
      moved_at timestamptz NOT NULL DEFAULT now(),
      FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
      PRIMARY KEY (tenant, pipeline, key)
    );

    CREATE TABLE waybill.source_window (
      tenant text NOT NULL DEFAULT ${here},
      run_id text COLLATE "C" NOT NULL,
      key text COLLATE "C" NOT NULL,
      extent jsonb NOT NULL,
      FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
      PRIMARY KEY (tenant, run_id)
    );

    -- The highest value of the cursor’s field among the records of a batch, where the source has such a cursor.
    ALTER TABLE waybill.stage ADD COLUMN highest text;

    GRANT SELECT, INSERT, UPDATE (mark, run_id, moved_at) ON waybill.watermark TO waybill_worker;
    GRANT SELECT, INSERT ON waybill.source_window TO waybill_worker;
    GRANT SELECT ON waybill.watermark, waybill.source_window TO waybill_api;
  `;
  await sql.raw(statements).execute(db);

  for (const table of ['watermark', 'source_window']) {
    await sql
      .raw(/* sql */ `
        ALTER TABLE waybill.${table} ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON waybill.${table} TO waybill_api, waybill_worker USING (tenant = ${here});
      `)
      .execute(db);
  }
}
