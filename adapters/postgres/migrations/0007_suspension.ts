import { type Kysely, sql } from 'kysely';

/**
 * Since when a run is suspended, which outlives its execution in Temporal; the grant that may succeed the one it has; and
 * the execution in which it began, so that another in its place is noticed.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.run
      ADD COLUMN suspended_at timestamptz, ADD COLUMN successor_id text, ADD COLUMN first_execution text;
    GRANT SELECT (suspended_at, successor_id, first_execution), UPDATE (suspended_at, first_execution)
      ON waybill.run TO waybill_worker;
    GRANT SELECT (definition_digest, first_execution) ON waybill.run TO waybill_relay;
  `;
  await sql.raw(statements).execute(db);
}
