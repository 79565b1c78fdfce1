import type { Limit } from '../../domain/limits.ts';
import { jsonParam, sql } from '../../domain/sql.ts';
import type { DatabaseAddress } from './address.ts';
import { insertMigratorAudit } from './audit.ts';
import { connectPool, inTransaction } from './connect.ts';

/**
 * Records the limits of tenants, as the migrator: no other role can change them. Each API has them within seconds. Resolves with whether
 * something has changed.
 */
export async function applyLimits(migrator: DatabaseAddress, wanted: readonly Limit[]): Promise<boolean> {
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-limits' });
  try {
    return await inTransaction(pool, async (client) => {
      await client.query('LOCK TABLE waybill.tenant_limit IN SHARE ROW EXCLUSIVE MODE');
      const { rows } = await client.query<Limit>(standing);
      if (changesOf(rows, wanted).length === 0) return false;
      await client.query('DELETE FROM waybill.tenant_limit');
      await client.query(
        sql(
          `INSERT INTO waybill.tenant_limit (tenant, pipeline, name, max)
           SELECT * FROM jsonb_to_recordset(:wanted) AS l(tenant text, pipeline text, name text, max bigint)`,
          { wanted: jsonParam(wanted) },
        ),
      );
      await insertMigratorAudit(client, {
        action: 'limits.applied',
        detail: { limits: wanted },
      });
      return true;
    });
  } finally {
    await pool.end();
  }
}

/** A limit now, and after `apply`; `null`: not said. */
export interface LimitChange extends Omit<Limit, 'max'> {
  before: number | null;
  after: number | null;
}

/** What `applyLimits` would change. */
export async function planLimits(
  migrator: DatabaseAddress,
  wanted: readonly Limit[],
): Promise<LimitChange[]> {
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-limits' });
  try {
    // Before the first `apply` there is nothing.
    const { rows: found } = await pool.query(
      `SELECT to_regclass('waybill.tenant_limit') IS NOT NULL AS known`,
    );
    return changesOf(found[0].known ? (await pool.query<Limit>(standing)).rows : [], wanted);
  } finally {
    await pool.end();
  }
}

const standing =
  'SELECT tenant, pipeline, name, max::float8 AS max FROM waybill.tenant_limit ORDER BY 1, 2, 3';

function changesOf(before: readonly Limit[], after: readonly Limit[]): LimitChange[] {
  const maxIn = (limits: readonly Limit[], { tenant, pipeline, name }: Omit<Limit, 'max'>) =>
    limits.find((one) => one.tenant === tenant && one.pipeline === pipeline && one.name === name)?.max ??
    null;
  const gone = before.filter((limit) => maxIn(after, limit) === null);
  return [...after, ...gone]
    .map(({ tenant, pipeline, name }) => ({
      ...{ tenant, pipeline, name },
      before: maxIn(before, { tenant, pipeline, name }),
      after: maxIn(after, { tenant, pipeline, name }),
    }))
    .filter((change) => change.before !== change.after);
}
