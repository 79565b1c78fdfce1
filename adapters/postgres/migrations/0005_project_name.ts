import { type Kysely, sql } from 'kysely';

/** The project of the applied set, so that `apply` of another project is noticed. NULL: applied before this, or without a name. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw('ALTER TABLE waybill.policy_set ADD COLUMN project text').execute(db);
}
