import { type Kysely, sql } from 'kysely';

/** What a consent binds besides its code: version, contract, source, sink and labels. NULL: the code itself. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.delegation ADD COLUMN bound_digest text;
    GRANT SELECT (bound_digest) ON waybill.delegation TO waybill_relay;
  `;
  await sql.raw(statements).execute(db);
}
