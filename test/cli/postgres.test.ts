import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { startPostgresForTest } from '../stack.ts';

test('the roles own what the design says and nothing more', async () => {
  await using database = disposable(await startPostgresForTest());
  const asWorker = await connect(database.workerUrl);
  const { rows } = await asWorker.query("SELECT current_setting('server_version_num')::int AS version");
  assert.ok(rows[0].version >= 180000);
  await asWorker.query('SELECT * FROM waybill.run');
  for (const forbidden of [
    'CREATE TABLE public.mine (id int)',
    'CREATE TABLE waybill.mine (id int)',
    'CREATE TEMP TABLE mine (id int)',
    'UPDATE waybill.audit_event SET action = action',
    'DELETE FROM waybill.ledger',
  ]) {
    await assert.rejects(asWorker.query(forbidden), { code: '42501' }, forbidden);
  }
  await asWorker.end();
  const asMigrator = await connect(database.migratorUrl);
  await asMigrator.query('CREATE TABLE public.mine (id int)');
  await asMigrator.end();
  const wrong = new URL(database.apiUrl);
  wrong.password = 'postgres';
  await assert.rejects(connect(wrong.href), { code: '28P01' });
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

function disposable<T extends { stop(): Promise<void> }>(value: T): T & AsyncDisposable {
  return Object.assign(value, { [Symbol.asyncDispose]: () => value.stop() });
}
