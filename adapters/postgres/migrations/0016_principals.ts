import { type Kysely, sql } from 'kysely';

/**
 * Who principals are. Events and revocations name them by their opaque ids, and keep doing so: this is the one place that has to
 * forget somebody who is to be forgotten.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const here = `nullif(current_setting('waybill.tenant', true), '')`;
  const statements = /* sql */ `
    CREATE TABLE waybill.principal (
      tenant text NOT NULL DEFAULT ${here},
      id text COLLATE "C" NOT NULL,
      issuer text NOT NULL,
      subject text NOT NULL,
      kind text NOT NULL,
      PRIMARY KEY (tenant, id)
    );

    -- Whom runs, decisions and schedules know already, and whoever acted for them.
    INSERT INTO waybill.principal (tenant, id, issuer, subject, kind)
    SELECT tenant, who->>'id', who->>'issuer', who->>'subject', who->>'kind'
    FROM (SELECT tenant, requested_by AS known FROM waybill.run
          UNION ALL SELECT tenant, by FROM waybill.decision
          UNION ALL SELECT tenant, owner FROM waybill.schedule) found,
      LATERAL (VALUES (known), (known->'actor')) each (who)
    WHERE tenant IS NOT NULL AND who ?& ARRAY['id', 'issuer', 'subject', 'kind']
    ON CONFLICT DO NOTHING;

    GRANT SELECT, INSERT, UPDATE (kind) ON waybill.principal TO waybill_api;
    ALTER TABLE waybill.principal ENABLE ROW LEVEL SECURITY;
    CREATE POLICY tenant ON waybill.principal TO waybill_api USING (tenant = ${here});
  `;
  await sql.raw(statements).execute(db);
}
