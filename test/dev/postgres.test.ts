import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { startPostgresForTest } from '../support/stack.ts';

/** What the roles may do there is in `test/adapters/postgres/rowSecurity.test.ts`. */
test('the embedded server is a recent one; the migrator makes tables, and each role has its own password', async () => {
  await using database = disposable(await startPostgresForTest());
  const asMigrator = await connect(database.migratorUrl);
  const { rows } = await asMigrator.query("SELECT current_setting('server_version_num')::int AS version");
  assert.ok(rows[0].version >= 180000);
  await asMigrator.query('CREATE TABLE public.mine (id int)');
  await asMigrator.end();
  for (const url of [database.apiUrl, database.workerUrl, database.relayUrl]) {
    await (await connect(url)).end();
    const wrong = Object.assign(new URL(url), { password: new URL(database.migratorUrl).password });
    await assert.rejects(connect(wrong.href), { code: '28P01' });
  }
});

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

function disposable<T extends { stop(): Promise<void> }>(value: T): T & AsyncDisposable {
  return Object.assign(value, { [Symbol.asyncDispose]: () => value.stop() });
}
