import { type Kysely, sql } from 'kysely';

/** Which tables are split over several databases, and in which order: the rows of each are found by it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(/* sql */ `
      CREATE TABLE waybill.sink_shards (
        table_name text PRIMARY KEY,
        shards text[] NOT NULL
      )`)
    .execute(db);
}
