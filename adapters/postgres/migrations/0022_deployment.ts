import { type Kysely, sql } from 'kysely';

/** What was applied last of each pipeline: its contract, and why it is refused, where it is. Only the migrator writes it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.deployment (
      pipeline text COLLATE "C" PRIMARY KEY,
      version integer NOT NULL,
      definition_digest text NOT NULL,
      contract jsonb NOT NULL,
      -- Code and message; NULL: the pipeline takes runs.
      refusal jsonb,
      applied_at timestamptz NOT NULL DEFAULT now()
    );
    GRANT SELECT ON waybill.deployment TO waybill_api;
  `;
  await sql.raw(statements).execute(db);
}
