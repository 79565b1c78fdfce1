import { type Kysely, sql } from 'kysely';

/** Whether a run is for a time that has passed: its tasks come after those of other runs. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.outbox ADD COLUMN backfill boolean NOT NULL DEFAULT false;
    GRANT INSERT (backfill) ON waybill.outbox TO waybill_api;
  `;
  await sql.raw(statements).execute(db);
}
