import { type Kysely, sql } from 'kysely';

/**
 * Of Parquet, where a row is named by its row group: in which one a batch, and a rejected record, is. Of a stage, in which form its
 * rows were encoded.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.batch ADD COLUMN row_group integer;
    ALTER TABLE waybill.dead_letter ADD COLUMN row_group integer;
    GRANT INSERT (row_group) ON waybill.batch TO waybill_api, waybill_worker;
    GRANT INSERT (row_group) ON waybill.dead_letter TO waybill_worker;
    ALTER TABLE waybill.stage ADD COLUMN form integer;
    GRANT INSERT (form) ON waybill.stage TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
