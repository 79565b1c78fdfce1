import { type Kysely, sql } from 'kysely';

/** Of pipelines with several outputs: the counts of a batch for each; NULL for all others. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(`
      ALTER TABLE waybill.ledger ADD COLUMN counts_by_output jsonb;
      GRANT INSERT (counts_by_output) ON waybill.ledger TO waybill_worker;`)
    .execute(db);
}
