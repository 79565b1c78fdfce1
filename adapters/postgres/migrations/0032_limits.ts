import { type Kysely, sql } from 'kysely';
import { here } from './baseline/rowSecurity.ts';

/** What bounds tenants. Only the migrator writes it; a tenant sees its own bounds and those that name no tenant. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const text of [statements, buckets]) await sql.raw(text).execute(db);
}

const statements = /* sql */ `
  CREATE TABLE waybill.tenant_limit (
    -- '' is every tenant that has no row of this name.
    tenant text NOT NULL,
    -- '' is all pipelines of the tenant together.
    pipeline text NOT NULL,
    name text NOT NULL,
    max bigint NOT NULL CHECK (max >= 0),
    PRIMARY KEY (tenant, pipeline, name)
  );
  ALTER TABLE waybill.tenant_limit ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.tenant_limit TO waybill_api, waybill_worker USING (tenant IN ('', ${here}));
  GRANT SELECT ON waybill.tenant_limit TO waybill_api, waybill_worker;
`;

/**
 * Tokens by tenant and name. A call takes what it wants, at least what it needs, or nothing. A full bucket gives more than it holds
 * once and stays empty for as long. Not in the log of the database: after a crash each bucket is full.
 */
const buckets = /* sql */ `
  CREATE UNLOGGED TABLE waybill.rate_bucket (
    tenant text NOT NULL DEFAULT ${here},
    name text NOT NULL,
    tokens double precision NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
  );
  ALTER TABLE waybill.rate_bucket ENABLE ROW LEVEL SECURITY;

  CREATE FUNCTION waybill.take_tokens(of_name text, per_second float8, burst float8, needed float8, wanted float8)
    RETURNS TABLE (taken float8, wait_ms float8) LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    DECLARE
      held float8;
      enough float8 := least(needed, burst);
    BEGIN
      INSERT INTO waybill.rate_bucket AS b (name, tokens, at) VALUES (of_name, burst, clock_timestamp())
        ON CONFLICT (tenant, name) DO UPDATE SET at = clock_timestamp(),
          tokens = least(burst, b.tokens + per_second * greatest(0, extract(epoch FROM clock_timestamp() - b.at)::float8))
        RETURNING tokens INTO held;
      IF held < enough THEN
        RETURN QUERY SELECT 0::float8, CASE WHEN per_second > 0 THEN (enough - held) / per_second * 1000 ELSE 60000 END;
      ELSE
        taken := greatest(needed, least(wanted, held));
        UPDATE waybill.rate_bucket SET tokens = held - taken WHERE name = of_name AND tenant = ${here};
        RETURN QUERY SELECT taken, 0::float8;
      END IF;
    END $$;
  REVOKE ALL ON FUNCTION waybill.take_tokens FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.take_tokens TO waybill_api, waybill_worker;
`;
