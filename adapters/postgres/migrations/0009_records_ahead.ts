import { type Kysely, sql } from 'kysely';

/** How many records of a batch lie after their run began, so that they do not move the watermark of the source. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.stage ADD COLUMN ahead bigint;
    GRANT INSERT (ahead) ON waybill.stage TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
