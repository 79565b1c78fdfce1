import type { ClientBase } from 'pg';
import { sql } from '../../../domain/sql.ts';
import { quoted } from './sinkColumns.ts';

/**
 * What PostgreSQL makes of `_tenant = …` when it writes a policy out; a policy with another text is replaced.
 * `nullif`, because a setting that was made once in a session and taken back reads as an empty text.
 */
const ofTenant = `(_tenant = NULLIF(current_setting('waybill.tenant'::text, true), ''::text))`;

/**
 * A worker sees and writes the rows of the tenant for which it stores, and no others. For other roles there is no
 * policy, and so there are no rows, until the owner of the table adds one. Changes nothing where all is in place,
 * so that stores under way need not wait.
 */
export async function ensureSinkPolicy(client: ClientBase, table: string): Promise<void> {
  const { rows } = await client.query<{ enabled: boolean; standing: string | null }>(
    sql(
      `SELECT c.relrowsecurity AS enabled,
            (SELECT pg_get_expr(p.polqual, c.oid) FROM pg_policy p
              WHERE p.polrelid = c.oid AND p.polname = 'waybill_tenant' AND p.polcmd = '*' AND p.polpermissive
                AND p.polwithcheck IS NULL AND p.polroles = ARRAY['waybill_worker'::regrole::oid]) AS standing
       FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = :table`,
      { table },
    ),
  );
  const { enabled, standing } = rows[0]!;
  const name = `public.${quoted(table)}`;
  if (standing !== ofTenant) {
    await client.query(`
      DROP POLICY IF EXISTS waybill_tenant ON ${name};
      CREATE POLICY waybill_tenant ON ${name} TO waybill_worker USING ${ofTenant}`);
  }
  if (!enabled) await client.query(`ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY`);
}
