import { type Kysely, sql } from 'kysely';

/** How much of a growing file a run left for the next, and how many bytes of rejected records a run keeps in the database. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.run ADD COLUMN left_bytes bigint;
    GRANT UPDATE (left_bytes) ON waybill.run TO waybill_worker;

    ALTER TABLE waybill.ledger ADD COLUMN dead_letter_bytes bigint NOT NULL DEFAULT 0;
    GRANT INSERT (dead_letter_bytes) ON waybill.ledger TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
