import { type Kysely, sql } from 'kysely';

/** A small batch is in its row instead of the object store, and so are few rejections of a stage. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
      ALTER TABLE waybill.batch ADD COLUMN bytes bytea;
      GRANT INSERT (bytes) ON waybill.batch TO waybill_api, waybill_worker;
      ALTER TABLE waybill.stage ADD COLUMN rejections jsonb;
      GRANT INSERT (rejections) ON waybill.stage TO waybill_worker;
    `)
    .execute(db);
}
