import { type Kysely, sql } from 'kysely';

/**
 * The terms of each consent, so that its owner sees what changed since then. They only show it: the digest in the signed text decides.
 * NULL: a consent that had ended before this.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.delegation ADD COLUMN terms jsonb;
    UPDATE waybill.delegation d SET terms = s.terms FROM waybill.schedule s
      WHERE s.tenant = d.tenant AND s.id = d.schedule_id AND s.delegation_id = d.id;
  `;
  await sql.raw(statements).execute(db);
}
