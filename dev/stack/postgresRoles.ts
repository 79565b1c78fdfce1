import pg from 'pg';
import { sql } from '../../domain/sql.ts';
import { databaseRoles, type Passwords } from './passwords.ts';

/**
 * Roles of the cluster. The migrator makes and owns every table; the others own nothing and get what migrations and
 * sinks grant them. Every start calls it: a role gets the password of its file, so that a rotation which was
 * interrupted between file and server is finished.
 */
export async function ensureRoles(superuserUrl: string, passwords: Passwords): Promise<void> {
  await withClient(superuserUrl, async (client) => {
    const { rows } = await client.query('SELECT rolname FROM pg_roles');
    const present = new Set(rows.map((row) => row.rolname));
    for (const role of databaseRoles.filter((role) => role !== 'postgres')) {
      const verb = present.has(role) ? 'ALTER' : 'CREATE';
      await client.query(`${verb} ROLE ${role} LOGIN PASSWORD ${client.escapeLiteral(passwords.of(role))}`);
    }
  });
}

/**
 * The database and its schema `waybill`, owned by the migrator, who may also make sink tables in `public`.
 * With `template`, the new database is a copy of it (tests). The access rights of a database itself are never copied.
 */
export async function ensureDatabase(superuserUrl: string, name: string, template?: string): Promise<void> {
  const database = pg.escapeIdentifier(name);
  await withClient(superuserUrl, async (client) => {
    const { rowCount } = await client.query(sql('SELECT 1 FROM pg_database WHERE datname = :name', { name }));
    if (!rowCount) {
      await client.query(
        `CREATE DATABASE ${database}${template ? ` TEMPLATE ${pg.escapeIdentifier(template)}` : ''}`,
      );
    }
    await client.query(`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`);
    await client.query(
      `GRANT CONNECT ON DATABASE ${database} TO waybill_migrator, waybill_api, waybill_worker, waybill_relay;
       GRANT TEMPORARY ON DATABASE ${database} TO waybill_worker`,
    );
  });
  if (template) return;
  const url = new URL(superuserUrl);
  url.pathname = `/${name}`;
  await withClient(url.href, async (client) => {
    await client.query('CREATE SCHEMA IF NOT EXISTS waybill AUTHORIZATION waybill_migrator');
    await client.query('GRANT CREATE ON SCHEMA public TO waybill_migrator');
    await client.query(noLargeObjects);
  });
}

/** Waybill has no large objects, which belong to no table and so escape row-level security. As deploy/postgres-init.sh. */
const noLargeObjects = `
  DO $$ DECLARE f regprocedure; BEGIN
    FOR f IN SELECT oid::regprocedure FROM pg_proc
      WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_|loread|lowrite)' LOOP
      EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
  END $$`;

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
