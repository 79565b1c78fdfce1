import { type Kysely, sql } from 'kysely';

/** Of a source that holds many objects: in which one a batch, and a rejected record, is. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.batch ADD COLUMN source text COLLATE "C";
    ALTER TABLE waybill.dead_letter ADD COLUMN source text COLLATE "C";
    GRANT INSERT (source) ON waybill.batch TO waybill_api, waybill_worker;
    GRANT INSERT (source) ON waybill.dead_letter TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
