import { sql } from '../../../domain/sql.ts';
import type { DatabaseAddress } from '../address.ts';
import { connectPool } from '../connect.ts';

/** What Waybill keeps for a tenant. */
export interface Kept {
  tenant: string;
  runs: number;
  deadLetters: number;
  /** Batches of which the input is kept: small ones are in the database, the others in the object store. */
  batches: number;
  inputBytes: number;
}

/** As the migrator, who sees all tenants; by tenant. */
export async function readKept(migrator: DatabaseAddress): Promise<Kept[]> {
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-kept' });
  try {
    const { rows } = await pool.query<Kept>(
      sql(`SELECT r.tenant, count(*)::float8 AS runs,
             (SELECT count(*)::float8 FROM waybill.dead_letter d WHERE d.tenant = r.tenant) AS "deadLetters",
             coalesce(sum(b.batches) FILTER (WHERE r.input_removed_at IS NULL), 0)::float8 AS batches,
             coalesce(sum(b.bytes) FILTER (WHERE r.input_removed_at IS NULL), 0)::float8 AS "inputBytes"
           FROM waybill.run r
           LEFT JOIN (SELECT run_id, count(*) AS batches, sum(size_bytes) AS bytes FROM waybill.batch GROUP BY run_id) b
             ON b.run_id = r.id
           GROUP BY r.tenant ORDER BY r.tenant`),
    );
    return rows;
  } finally {
    await pool.end();
  }
}
