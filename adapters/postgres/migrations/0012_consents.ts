import { type Kysely, sql } from 'kysely';

/**
 * Which definition a consent is to, beside the signed text that says so: for whoever wants to see that a pipeline has changed
 * before a firing finds it out. Nothing is decided by it.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.delegation ADD COLUMN definition_digest text NOT NULL DEFAULT '';
    GRANT SELECT (definition_digest) ON waybill.delegation TO waybill_relay;
  `;
  await sql.raw(statements).execute(db);
}
