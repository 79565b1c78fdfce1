import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import pg from 'pg';
import { createGrantKeys } from '../../adapters/keys/grantKeys.ts';
import { createGrantVerifier } from '../../adapters/keys/grantVerifier.ts';
import { openKeyFolder } from '../../adapters/keys/keyFolder.ts';
import { createPublishedKeys } from '../../adapters/keys/publishedKeys.ts';
import { connectPool } from '../../adapters/postgres/connect.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { WaybillError } from '../../domain/errors.ts';
import { grantOfRun } from '../keys.ts';
import { startPostgresForTest, type TestPostgres } from '../stack.ts';

type Keys = ReturnType<typeof createGrantKeys>;

const operator = { tenant: 'acme', actor: { id: 'prn_carol', kind: 'person' as const }, txn: null };

describe('keys of any number of APIs', () => {
  let postgres: TestPostgres;
  let folder: string;
  let revoked: Set<string>;
  let apis: { keys: Keys; pool: pg.Pool }[];
  let database: pg.Client;

  beforeEach(async () => {
    postgres = await startPostgresForTest();
    folder = await mkdtemp(join(tmpdir(), 'waybill-keys-'));
    revoked = new Set();
    apis = [];
    database = new pg.Client({ connectionString: postgres.superuserUrl });
    await database.connect();
  });
  afterEach(async () => {
    for (const { keys, pool } of apis) {
      await keys.close();
      await pool.end();
    }
    await database.end();
    await postgres.stop();
    await rm(folder, { recursive: true });
  });

  async function startKeys(at = folder, isRevoked = (kid: string) => revoked.has(kid)): Promise<Keys> {
    const pool = connectPool(postgres.apiUrl, { connectionsMax: 3, name: 'test' });
    const onError = () => {};
    const options = { tenants: tenantsOf(pool), database: postgres.apiUrl, isRevoked, onError };
    const keys = createGrantKeys({ ...options, folder: await openKeyFolder(at) });
    apis.push({ keys, pool });
    return keys;
  }

  /** As if so much time had gone by; everybody looks again. */
  async function pass(seconds: number): Promise<void> {
    await database.query(
      `UPDATE waybill.grant_key SET created_at = created_at - $1 * interval '1 second',
         signs_from = signs_from - $1 * interval '1 second', retired_at = retired_at - $1 * interval '1 second'`,
      [seconds],
    );
    for (const { keys } of apis) await keys.list();
  }
  const iat = () => Math.floor(Date.now() / 1000);
  const sign = (keys: Keys, change: object = {}) =>
    keys.sign({ ...grantOfRun, iat: iat(), exp: iat() + 60, ...change });
  const signerOf = async (keys: Keys, change?: object) => decodeProtectedHeader(await sign(keys, change)).kid;
  const states = async (keys: Keys) => (await keys.list()).map(({ state }) => state);
  const verify = (keys: Keys, grant: string) =>
    createGrantVerifier({ keys, issuer: grantOfRun.iss })
      .verify(grant)
      .then(
        () => 'verified',
        (error: WaybillError) => error.code,
      );

  it('make one first key together, whose private part is their owner’s', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => startKeys()));
    const signers = await Promise.all(all.map((keys) => signerOf(keys)));
    assert.equal(new Set(signers).size, 1);
    assert.deepEqual(await readdir(folder), [`${signers[0]}.jwk`]);
    assert.equal((await stat(join(folder, `${signers[0]}.jwk`))).mode & 0o777, 0o600);
    assert.deepEqual(await states(all[0]!), ['active']);
    const { rows } = await database.query(
      `SELECT actor, detail FROM waybill.audit_event WHERE action = 'key.rotated'`,
    );
    assert.deepEqual(rows, [{ actor: null, detail: { key: signers[0], cause: 'first' } }]);
  });

  it('sign by a key that was there before there were others', async () => {
    const { kid } = await (await openKeyFolder(folder)).make();
    assert.equal(await signerOf(await startKeys()), kid);
  });

  it('hand over: the next key is published, then signs, and the one before retires', async () => {
    const [a, b] = [await startKeys(), await startKeys()];
    const first = await signerOf(a);
    const early = await sign(b);
    const next = await a.rotate(operator);
    assert.equal(next.state, 'next');
    assert.equal((await b.rotate(operator)).kid, next.kid, 'one at a time');
    assert.deepEqual(await states(b), ['next', 'active']);
    assert.equal(await signerOf(a), first);
    const published = await b.publicKeys();
    assert.deepEqual(
      published.keys.map((jwk) => (jwk as { kid: string }).kid),
      [next.kid, first],
    );
    await pass(20);
    assert.equal(await signerOf(b), first);
    await pass(11);
    assert.equal(await signerOf(a), next.kid);
    assert.equal(await signerOf(b), next.kid);
    assert.deepEqual(await states(a), ['active', 'retired']);
    for (const keys of [a, b]) {
      assert.equal(await verify(keys, await sign(a)), 'verified');
      assert.equal(await verify(keys, early), 'GrantKeyRetired', 'time was turned on, and not its iat');
    }
  });

  it('sign for a time after the retirement of the active key with the next one, whatever their own clock says', async () => {
    const keys = await startKeys();
    await signerOf(keys);
    const next = await keys.rotate(operator);
    assert.equal(await signerOf(keys, { iat: iat() + 31 }), next.kid);
  });

  it('never sign with a revoked key: another one takes its place at once', async () => {
    const [a, b] = [await startKeys(), await startKeys()];
    const stolen = (await signerOf(a))!;
    const before = await sign(b);
    revoked.add(stolen);
    const second = await signerOf(b);
    assert.notEqual(second, stolen);
    assert.equal(await signerOf(a), second);
    assert.deepEqual(await states(a), ['active', 'revoked']);
    assert.equal(await verify(a, before), 'verified', 'that it is void is for the check of revocations');
    const { rows } = await database.query(
      `SELECT detail FROM waybill.audit_event WHERE action = 'key.rotated' ORDER BY id DESC LIMIT 1`,
    );
    assert.deepEqual(rows[0].detail, { key: second, cause: 'revoked' });
  });

  it('do not sign while it cannot be known what is revoked', async () => {
    const keys = await startKeys(folder, () => {
      throw new WaybillError('RevocationsUnavailable');
    });
    await assert.rejects(sign(keys), { code: 'RevocationsUnavailable' });
  });

  it('say that the private part is missing, and may be replaced', async () => {
    await signerOf(await startKeys());
    const elsewhere = await startKeys(join(folder, 'elsewhere'));
    await assert.rejects(sign(elsewhere), { code: 'KeysUnavailable' });
    const next = await elsewhere.rotate(operator);
    await pass(31);
    assert.equal(await signerOf(elsewhere), next.kid);
  });

  it('are published for everybody’s use as long as a token of theirs may be genuine', async () => {
    const keys = await startKeys();
    const first = (await signerOf(keys))!;
    const grant = await sign(keys);
    const accepted = async () => {
      const set = (await keys.publicKeys()) as JSONWebKeySet;
      return jwtVerify(grant, createLocalJWKSet(set), { currentDate: new Date(0) }).then(
        () => true,
        () => false,
      );
    };
    await keys.rotate(operator);
    assert.ok(await accepted());
    await pass(600);
    assert.ok(await accepted());
    await pass(60);
    assert.ok(!(await accepted()), 'long retired');
    const [, jwk] = (await keys.publicKeys()).keys as Record<string, unknown>[];
    assert.deepEqual([jwk!.kid, typeof jwk!.exp, jwk!.use, jwk!.key_ops], [first, 'number', undefined, []]);
    revoked.add((await signerOf(keys))!);
    assert.deepEqual(
      (await keys.publicKeys()).keys.map((one) => (one as { use?: string }).use),
      [undefined, undefined],
    );
  });

  it('of which the API itself may take none back', async () => {
    await signerOf(await startKeys());
    const api = new pg.Client({ connectionString: postgres.apiUrl });
    await api.connect();
    for (const statement of [
      'DELETE FROM waybill.grant_key',
      `UPDATE waybill.grant_key SET x = 'y'`,
      'UPDATE waybill.grant_key SET signs_from = now()',
    ])
      await assert.rejects(api.query(statement), { code: '42501' });
    await api.end();
    const worker = new pg.Client({ connectionString: postgres.workerUrl });
    await worker.connect();
    await assert.rejects(worker.query('SELECT * FROM waybill.grant_key'), { code: '42501' });
    await worker.end();
  });

  it('fail no grant while they are handed over, seen by a verifier that fetches from one API or the other', async (t) => {
    const heard = new Set<string>();
    // Of a revocation, one of the two has not heard yet.
    const [a, b] = [await startKeys(), await startKeys(folder, (kid) => heard.has(kid))];
    await Promise.all([signerOf(a), signerOf(b)]);
    let turn = 0;
    const server = createServer(async (_, response) => {
      response.end(JSON.stringify(await (turn++ % 2 ? a : b).publicKeys()));
    });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    let nowMs = 0;
    const keys = createPublishedKeys(url, () => nowMs);
    const verifier = createGrantVerifier({ keys, issuer: grantOfRun.iss });
    const signers = new Set<string>();

    /** Both sign at once, some of it is undecidable for half a minute, and all of it is genuine in the end. */
    async function signAndVerify(): Promise<void> {
      const grants = await Promise.all(Array.from({ length: 40 }, (_, i) => sign(i % 2 ? a : b)));
      for (const grant of grants) {
        signers.add(decodeProtectedHeader(grant).kid!);
        await verifier.verify(grant).catch(async (error: WaybillError) => {
          assert.equal(error.code, 'KeysUnavailable');
          nowMs += 30_000;
          await verifier.verify(grant);
        });
      }
    }

    await signAndVerify();
    await Promise.all([a.rotate(operator), signAndVerify()]);
    await pass(20);
    await signAndVerify();
    await pass(11);
    await signAndVerify();
    assert.equal(signers.size, 2);
    revoked.add((await signerOf(a))!);
    await Promise.all([signAndVerify(), a.list()]);
    await pass(10);
    for (const kid of revoked) heard.add(kid);
    await signAndVerify();
    assert.equal(signers.size, 3);
  });
});
