import { type Kysely, sql } from 'kysely';

/** A letter names the redrives that had it, the last first, so that its history is found by the index of their events. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(db);
}

const statements = /* sql */ `
  ALTER TABLE waybill.dead_letter ADD COLUMN redrive_runs text[] COLLATE "C";
  GRANT UPDATE (redrive_runs) ON waybill.dead_letter TO waybill_api;
`;
