import { sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';

/** Resolves with whether this is the first time. What has expired is forgotten on the way. Throws `DatabaseUnavailable`. */
export async function spendAssertion(
  tenants: Tenants,
  { workload, jti, expiresAtS }: { workload: string; jti: string; expiresAtS: number },
): Promise<boolean> {
  const { rowCount } = await tenants.for(null).query(
    sql(
      // A minute more than it counts, since clocks differ.
      `WITH expired AS (DELETE FROM waybill.workload_assertion WHERE expires_at < now() - interval '1 minute')
       INSERT INTO waybill.workload_assertion (workload, jti, expires_at)
       VALUES (:workload, :jti, to_timestamp(:expiresAtS)) ON CONFLICT DO NOTHING RETURNING 1`,
      { workload, jti, expiresAtS },
      'spend-assertion',
    ),
  );
  return rowCount === 1;
}
