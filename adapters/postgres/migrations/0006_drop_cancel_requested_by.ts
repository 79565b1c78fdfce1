import { type Kysely, sql } from 'kysely';

/** No statement reads or writes the column: the audit has who cancelled a run. The rights to it go with it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw('ALTER TABLE waybill.run DROP COLUMN cancel_requested_by').execute(db);
}
