import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { credentialFrom } from '../../../adapters/credentials/credentialFrom.ts';
import { addressOf, type DatabaseAddress } from '../../../adapters/postgres/address.ts';
import { connectPool, inTransaction } from '../../../adapters/postgres/connect.ts';
import { listen } from '../../../adapters/postgres/listen.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('a credential', () => {
  let folder: string;
  let file: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waybill-credentials-'));
    file = join(folder, 'password');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('is what the file says at the moment, without the line break at its end', async () => {
    const credential = credentialFrom({ file, value: 'from the environment' })!;
    for (const [text, secret] of [
      ['one', 'one'],
      ['two\n', 'two'],
      [' three \r\n', ' three '],
    ] as const) {
      await writeFile(file, text);
      assert.equal(await credential.current(), secret);
    }
  });

  it('cannot be read from a file that is missing or half written', async () => {
    await writeFile(file, '\n');
    await assert.rejects(credentialFrom({ file, value: undefined })!.current(), /is empty/);
    const missing = join(folder, 'missing');
    await assert.rejects(credentialFrom({ file: missing, value: 'x' })!.current(), { code: 'ENOENT' });
  });

  it('comes from the environment in the last resort', async () => {
    assert.equal(await credentialFrom({ file: undefined, value: 'x' })!.current(), 'x');
    assert.equal(credentialFrom({ file: undefined, value: undefined }), undefined);
  });

  describe('of a database', () => {
    // Roles belong to the whole server, which other tests may be using: this one has a role of its own.
    const role = `waybill_rotated_${randomBytes(4).toString('hex')}`;
    let postgres: TestPostgres;
    let admin: pg.Client;
    let address: DatabaseAddress;

    before(async () => {
      postgres = await startPostgresForTest();
      admin = new pg.Client({ connectionString: postgres.superuserUrl });
      await admin.connect();
      await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'first'`);
      await admin.query(`GRANT CONNECT ON DATABASE ${admin.database} TO ${role}`);
      await writeFile(file, 'first');
      const url = Object.assign(new URL(postgres.apiUrl), { username: role, password: '' });
      address = addressOf(url.href, credentialFrom({ file, value: undefined }));
    });
    after(async () => {
      await admin?.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      await admin?.end();
      await postgres?.stop();
    });

    async function pidOf(pool: pg.Pool): Promise<number> {
      return inTransaction(
        pool,
        async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid,
      );
    }

    it('counts from the next connection on; one that is open stays as it is', async () => {
      const pool = connectPool(address, { connectionsMax: 2, name: 'test' });
      const first = await pool.connect();
      await admin.query(`ALTER ROLE ${role} PASSWORD 'second'`);
      // The file still has the old one: waiting helps, so the caller may retry.
      await assert.rejects(pidOf(pool), { code: 'DatabaseUnavailable', retryable: true });
      await writeFile(file, 'second\n');
      await pidOf(pool);
      await first.query('SELECT 1');
      await rm(file);
      const away = connectPool(address, { connectionsMax: 1, name: 'test' });
      await assert.rejects(pidOf(away), { code: 'DatabaseUnavailable' });
      await writeFile(file, 'second');
      await pidOf(away);
      first.release();
      await Promise.all([pool.end(), away.end()]);
    });

    it('goes out of use with the connections that were made with it', async () => {
      const lasting = connectPool(address, { connectionsMax: 1, name: 'test' });
      assert.equal(await pidOf(lasting), await pidOf(lasting));
      const pool = connectPool(address, { connectionsMax: 1, name: 'test', lifetimeS: 1 });
      const replaced = Promise.withResolvers<void>();
      pool.once('remove', () => replaced.resolve());
      const first = await pidOf(pool);
      await replaced.promise;
      assert.notEqual(await pidOf(pool), first);
      await Promise.all([lasting.end(), pool.end()]);
    });

    it('is asked for by a listener whenever it connects, and that now and then', async () => {
      let heard = Promise.withResolvers<void>();
      const listening = listen(address, 'anything', () => heard.resolve(), 1);
      await heard.promise;
      heard = Promise.withResolvers();
      await admin.query(`ALTER ROLE ${role} PASSWORD 'third'`);
      await writeFile(file, 'third');
      // Only a new connection calls back without a notification.
      await heard.promise;
      await listening.close();
    });
  });
});
