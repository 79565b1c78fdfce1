import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';

/**
 * Everything that an effect would change: each row of each table, the audit and the work of the relay aside, and each
 * object. By table, so that a difference says where it is.
 */
export async function fingerprint(database: pg.Pool, home: string): Promise<Record<string, string>> {
  const { rows: tables } = await database.query<{ name: string }>(
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname IN ('waybill', 'public') AND tablename <> 'audit_event' ORDER BY 1`,
  );
  const prints: Record<string, string> = {};
  for (const { name } of tables) {
    const { rows } = await database.query(
      `SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) AS print FROM ${name} t`,
    );
    prints[name] = rows[0].print;
  }
  const objects = (await readdir(join(home, 'objects'), { recursive: true })).sort();
  prints.objects = `${objects.length} ${createHash('sha256').update(objects.join('\n')).digest('hex')}`;
  return prints;
}
