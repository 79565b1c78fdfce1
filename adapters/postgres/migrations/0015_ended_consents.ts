import { type Kysely, sql } from 'kysely';

/**
 * Consents that something took the place of: a later one, a change that waits for one, the end of the schedule. Written once and
 * never taken back, so that whoever changes a schedule’s record cannot bring back what its owner has left behind. And who has
 * paused a schedule, since what its owner stopped is not for everybody to have go on.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const statements = /* sql */ `
    CREATE TABLE waybill.ended_delegation (
      tenant text NOT NULL DEFAULT ${here},
      delegation_id text COLLATE "C" NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      -- Of each tenant by itself: nobody takes the place of a row by writing it for another.
      PRIMARY KEY (tenant, delegation_id)
    );
    INSERT INTO waybill.ended_delegation (tenant, delegation_id)
      SELECT d.tenant, d.id FROM waybill.delegation d JOIN waybill.schedule s ON s.tenant = d.tenant AND s.id = d.schedule_id
      WHERE s.state = 'deleted' OR d.id <> s.delegation_id;

    ALTER TABLE waybill.ended_delegation ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.ended_delegation TO waybill_api USING (tenant = ${here});
    GRANT SELECT, INSERT ON waybill.ended_delegation TO waybill_api;

    ALTER TABLE waybill.schedule ADD COLUMN paused_by jsonb;
  `;
  await sql.raw(statements).execute(db);
}
