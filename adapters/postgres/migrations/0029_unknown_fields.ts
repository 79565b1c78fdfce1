import { type Kysely, sql } from 'kysely';

/** How many fields that the input does not name a batch had, of a pipeline that keeps or drops them. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.stage ADD COLUMN unknown_fields bigint;
    GRANT INSERT (unknown_fields) ON waybill.stage TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
