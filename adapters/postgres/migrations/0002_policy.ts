import { type Kysely, sql } from 'kysely';

/**
 * The policy sets that were applied; the newest is in force. Only the migrator, who owns the table, writes it: whoever
 * decides by a policy cannot change it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.policy_set (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      digest text NOT NULL,
      policies jsonb NOT NULL,
      roles jsonb NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      applied_by text NOT NULL DEFAULT session_user
    );
    GRANT SELECT ON waybill.policy_set TO waybill_api, waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
