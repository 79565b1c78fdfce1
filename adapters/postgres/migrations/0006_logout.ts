import { type Kysely, sql } from 'kysely';

/**
 * Logout tokens count once, so those that were seen are remembered for as long as they would be valid. Who has signed
 * out has done so everywhere: such a revocation belongs to no tenant.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.logout_token (
      digest text PRIMARY KEY,
      seen_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX logout_token_by_age ON waybill.logout_token (seen_at);
    GRANT SELECT, INSERT, DELETE ON waybill.logout_token TO waybill_api;

    ALTER TABLE waybill.revocation DROP CONSTRAINT revocation_check, ADD CONSTRAINT revocation_check CHECK (
      CASE WHEN tenant IS NULL THEN kind = 'key' OR (kind = 'principal' AND issued_until IS NOT NULL)
           ELSE kind <> 'key' END);
  `;
  await sql.raw(statements).execute(db);
}
