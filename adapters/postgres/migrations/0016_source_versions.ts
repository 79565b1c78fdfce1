import { type Kysely, sql } from 'kysely';

/**
 * Of which version of its source a batch was read, where the source says. A retry reads on only in the same version; heartbeats of
 * the attempt before do not tell it, since anybody who reaches Temporal can send one.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw('ALTER TABLE waybill.batch ADD COLUMN source_version text').execute(db);
}
