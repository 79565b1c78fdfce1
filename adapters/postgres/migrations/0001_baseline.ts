import { type Kysely, sql } from 'kysely';
import { approvals } from './baseline/approvals.ts';
import { deliveries } from './baseline/deliveries.ts';
import { rights } from './baseline/rights.ts';
import { runs } from './baseline/runs.ts';
import { schedules } from './baseline/schedules.ts';
import { storing } from './baseline/storing.ts';

/** The schema `waybill` as the 17 migrations before it left it, noun by noun. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(/* sql */ `
      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waybill_relay') THEN
          RAISE 'The role waybill_relay is missing. As a superuser: CREATE ROLE waybill_relay LOGIN PASSWORD ‘…’';
        END IF;
      END $$`)
    .execute(db);
  for (const statements of [runs, storing, rights, approvals, schedules, deliveries])
    await sql.raw(statements).execute(db);
}
