import { type Kysely, sql } from 'kysely';

/**
 * Public parts of the keys that sign grants. Only the API writes them, and of one that is there it can only set when it
 * retires: none ever goes, so that every grant in the audit can be verified. Workers read the keys over HTTP.
 *
 * Assertions by which workloads have proved who they are, until they expire, so that each counts once.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.grant_key (
      kid text COLLATE "C" PRIMARY KEY,
      x text NOT NULL,
      created_at timestamptz(0) NOT NULL DEFAULT now(),
      signs_from timestamptz(0) NOT NULL,
      retired_at timestamptz(0)
    );
    CREATE TABLE waybill.workload_assertion (
      workload text NOT NULL,
      jti text NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (workload, jti)
    );
    CREATE INDEX workload_assertion_expired ON waybill.workload_assertion (expires_at);

    GRANT SELECT, INSERT, DELETE ON waybill.workload_assertion TO waybill_api;
    GRANT SELECT, INSERT, UPDATE (retired_at) ON waybill.grant_key TO waybill_api;
  `;
  await sql.raw(statements).execute(db);
}
