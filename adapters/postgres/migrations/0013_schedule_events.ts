import { type Kysely, sql } from 'kysely';

/** Events may tell of a schedule instead of a run; what its owner has signed then names the receiver. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.delivery
      ALTER COLUMN run_id DROP NOT NULL,
      ADD COLUMN schedule_id text COLLATE "C",
      ADD COLUMN delegation_id text COLLATE "C",
      ADD CONSTRAINT delivery_of_schedule FOREIGN KEY (tenant, schedule_id, delegation_id)
        REFERENCES waybill.delegation (tenant, schedule_id, id),
      ADD CONSTRAINT delivery_of_one CHECK
        ((run_id IS NULL) <> (schedule_id IS NULL) AND (schedule_id IS NULL) = (delegation_id IS NULL));
    GRANT INSERT (schedule_id, delegation_id) ON waybill.delivery TO waybill_api;
    -- Whoever has it sent compares the receiver with what was signed.
    GRANT SELECT (jws) ON waybill.delegation TO waybill_relay;
  `;
  await sql.raw(statements).execute(db);
}
