import pg from 'pg';
import { sql } from '../../domain/sql.ts';

/** Rows of a tenant in a sink table, how many keys they have, and a digest of their content in the order of the key. */
export async function contentOf(
  databaseUrl: string,
  table: string,
  key: string,
  tenant: string,
): Promise<{ rows: number; keys: number; digest: string }> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query(
      sql(
        `SELECT count(*)::integer AS rows, count(DISTINCT ${client.escapeIdentifier(key)})::integer AS keys,
              md5(string_agg(md5((to_jsonb(t) - '{_tenant,_run,_position,_order}'::text[])::text), ''
                ORDER BY ${client.escapeIdentifier(key)} COLLATE "C")) AS digest
       FROM ${client.escapeIdentifier(table)} t WHERE _tenant = :tenant`,
        { tenant },
      ),
    );
    return rows[0];
  } finally {
    await client.end();
  }
}
