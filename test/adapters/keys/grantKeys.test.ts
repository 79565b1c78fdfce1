import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  type CryptoKey,
  createLocalJWKSet,
  decodeProtectedHeader,
  type JSONWebKeySet,
  jwtVerify,
} from 'jose';
import pg from 'pg';
import { createGrantKeys } from '../../../adapters/keys/grantKeys.ts';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { endorsedKeys, endorseKey } from '../../../adapters/keys/keyEndorsements.ts';
import { openKeyFolder } from '../../../adapters/keys/keyFolder.ts';
import { openKeyRoots, type WritableKeyRoots } from '../../../adapters/keys/keyRoots.ts';
import { createPublishedKeys } from '../../../adapters/keys/publishedKeys.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { listGrantKeys } from '../../../adapters/postgres/rights/grantKeys.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { GrantKey } from '../../../domain/grants/grantKey.ts';
import type { GrantVerifier } from '../../../domain/ports/grants.ts';
import { grantOfRun, makeKey, publishKeys } from '../../support/keys.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

type Keys = ReturnType<typeof createGrantKeys>;

const operator = { tenant: 'acme', actor: { id: 'prn_carol', kind: 'person' as const }, txn: null };

describe('keys of any number of APIs', () => {
  let postgres: TestPostgres;
  let folder: string;
  let rootsFile: string;
  let roots: WritableKeyRoots;
  let revoked: Set<string>;
  let apis: { keys: Keys; pool: pg.Pool }[];
  let database: pg.Client;

  beforeEach(async () => {
    postgres = await startPostgresForTest();
    folder = await mkdtemp(join(tmpdir(), 'waybill-keys-'));
    rootsFile = `${folder}.roots`;
    roots = openKeyRoots(rootsFile);
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
    await rm(rootsFile, { force: true });
  });

  async function startKeys(at = folder, isRevoked = (kid: string) => revoked.has(kid)): Promise<Keys> {
    const pool = connectPool(postgres.apiUrl, { connectionsMax: 3, name: 'test' });
    const onError = () => {};
    const options = { tenants: tenantsOf(pool), database: postgres.apiUrl, isRevoked, onError };
    const keys = createGrantKeys({ ...options, folder: await openKeyFolder(at), roots });
    apis.push({ keys, pool });
    return keys;
  }

  /** As if so much time had gone by, for all at one moment; each API reads again. The root has endorsed the keys with these times. */
  async function pass(seconds: number): Promise<void> {
    await database.query('BEGIN');
    await database.query(
      `UPDATE waybill.grant_key SET created_at = created_at - $1 * interval '1 second',
         signs_from = signs_from - $1 * interval '1 second', retired_at = retired_at - $1 * interval '1 second'`,
      [seconds],
    );
    const held = await Promise.all([folder, join(folder, 'elsewhere')].map(rootIn));
    for (const key of await rows()) {
      const by = held.find((root) => root && endorserOf(key) === root.x);
      if (!by) continue;
      const endorsement = await endorseKey(key, by);
      await database.query('UPDATE waybill.grant_key SET voucher = $2 WHERE kid = $1', [
        key.kid,
        endorsement,
      ]);
    }
    await database.query('COMMIT');
    for (const { keys } of apis) await keys.list();
  }
  const rootIn = async (at: string) => (existsSync(at) ? (await openKeyFolder(at)).findRoot() : undefined);
  const rootOf = async (at = folder) => (await rootIn(at))!.kid;
  const endorserOf = ({ endorsement }: GrantKey) =>
    endorsement ? decodeProtectedHeader(endorsement).jwk?.x : undefined;
  const rows = async () => (await listGrantKeys(database)).keys;
  /** As a user with write access to the database can add it. */
  async function insertKey(change: Partial<GrantKey> = {}): Promise<{ kid: string; key: CryptoKey }> {
    const { kid, jwk, privateKey } = await makeKey();
    const createdAtS = Math.floor(Date.now() / 1000) - 1;
    const key = { kid, x: jwk.x!, createdAtS, signsFromS: createdAtS, endorsement: null, ...change };
    const api = new pg.Client({ connectionString: postgres.apiUrl });
    await api.connect();
    await api.query(
      `INSERT INTO waybill.grant_key (kid, x, created_at, signs_from, voucher)
       VALUES ($1, $2, to_timestamp($3), to_timestamp($4), $5)`,
      [key.kid, key.x, key.createdAtS, key.signsFromS, key.endorsement],
    );
    await api.end();
    return { kid, key: privateKey };
  }
  const publishedBy = async (keys: Keys) =>
    (await keys.publicKeys()).keys.map((jwk) => (jwk as { kid: string }).kid);
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

  it('make one first key together, with a private part that only their user can read', async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => startKeys()));
    const signers = await Promise.all(all.map((keys) => signerOf(keys)));
    assert.equal(new Set(signers).size, 1);
    assert.deepEqual((await readdir(folder)).sort(), [`${signers[0]}.jwk`, 'root.jwk'].sort());
    assert.equal((await stat(join(folder, 'root.jwk'))).mode & 0o777, 0o600);
    assert.equal((await stat(join(folder, `${signers[0]}.jwk`))).mode & 0o777, 0o600);
    assert.deepEqual(await states(all[0]!), ['active']);
    const { rows } = await database.query(
      `SELECT actor, detail FROM waybill.audit_event WHERE action = 'key.rotated'`,
    );
    assert.deepEqual(rows, [{ actor: null, detail: { key: signers[0], cause: 'first', root: true } }]);
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

  it('count where the root has endorsed them; a row that is written into the database makes no signer', async () => {
    const keys = await startKeys();
    const first = (await signerOf(keys))!;
    const inserted = await insertKey();
    const forged = await signGrant({ ...grantOfRun, iat: iat(), exp: iat() + 60 }, inserted);
    await keys.list();
    assert.deepEqual(await publishedBy(keys), [first]);
    assert.equal(await verify(keys, forged), 'GrantKeyNotFound');
    assert.equal(await signerOf(keys), first, 'nor does it stop the active key');
    assert.deepEqual((await states(keys)).sort(), ['active', 'unendorsed']);
    // Nor does it where it claims the place of the next one.
    const next = await keys.rotate(operator);
    const [newest] = await endorsedKeys(await rows(), await roots.read());
    assert.equal(newest!.kid, next.kid);
    assert.ok(newest!.endorsement);
    assert.deepEqual(await roots.read(), { roots: new Set([await rootOf()]), keys: new Set() });
  });

  it('count at a worker by their endorsement, not by where they are published', async (t) => {
    const keys = await startKeys();
    await signerOf(keys);
    await keys.rotate(operator);
    await pass(31);
    const second = await sign(keys);
    const { kid, jwk, privateKey } = await makeKey();
    const forged = await signGrant({ ...grantOfRun, iat: iat(), exp: iat() + 60 }, { kid, key: privateKey });
    const server = await publishKeys([...(await keys.publicKeys()).keys, jwk]);
    t.after(() => server.stop());
    const codeBy = (verifier: GrantVerifier, grant: string) =>
      verifier.verify(grant).then(
        () => 'verified',
        (error: WaybillError) => error.code,
      );
    const verifier = createGrantVerifier({ keys: server.url, roots, issuer: grantOfRun.iss });
    assert.equal(await codeBy(verifier, second), 'verified');
    assert.equal(await codeBy(verifier, forged), 'KeysUnavailable', 'it might be newer than the set');
    let nowMs = 0;
    const later = createPublishedKeys(server.url, { roots, now: () => nowMs });
    const inTime = createGrantVerifier({ keys: later, issuer: grantOfRun.iss });
    assert.equal(await codeBy(inTime, forged), 'GrantKeyNotFound');
    await rm(rootsFile);
    nowMs += 60_000;
    const blind = createGrantVerifier({ keys: server.url, roots, issuer: grantOfRun.iss });
    assert.equal(await codeBy(blind, second), 'KeysUnavailable');
    assert.equal(await codeBy(inTime, second), 'verified', 'what is known serves on');
  });

  it('of which a stolen one endorses no other, revoked or not, and the roots file stays as it is', async () => {
    const keys = await startKeys();
    const stolen = (await signerOf(keys))!;
    const by = (await (await openKeyFolder(folder)).read()).find(({ kid }) => kid === stolen)!;
    const file = await readFile(rootsFile, 'utf8');
    await pass(60);
    const forge = async () => {
      const { kid, jwk } = await makeKey();
      const createdAtS = iat() - 30;
      const key = { kid, x: jwk.x!, createdAtS, signsFromS: createdAtS };
      await insertKey({ ...key, endorsement: await endorseKey(key, by) });
      await keys.list();
      assert.ok(!(await publishedBy(keys)).includes(kid));
    };
    await forge();
    revoked.add(stolen);
    assert.notEqual(await signerOf(keys), stolen);
    await forge();
    assert.equal(await readFile(rootsFile, 'utf8'), file, 'a worker with a copy needs no new line');
  });

  it('of which a stolen one that has retired does not sign again, whatever its row says', async () => {
    const keys = await startKeys();
    const first = (await signerOf(keys))!;
    const next = await keys.rotate(operator);
    await pass(31);
    await database.query('UPDATE waybill.grant_key SET retired_at = NULL WHERE kid = $1', [first]);
    assert.equal(await signerOf(keys), next.kid);
    assert.deepEqual(await states(keys), ['active', 'retired']);
  });

  it('count under a new root once the old one is given up', async () => {
    const keys = await startKeys();
    const first = (await signerOf(keys))!;
    const early = await sign(keys);
    const old = await rootOf();
    await rm(join(folder, 'root.jwk'));
    await writeFile(rootsFile, '# the root was stolen\n');
    assert.equal(await signerOf(await startKeys()), first);
    assert.notEqual(await rootOf(), old);
    assert.deepEqual(await roots.read(), { roots: new Set([await rootOf()]), keys: new Set([first]) });
    await keys.list();
    assert.equal(await verify(keys, early), 'verified');
  });

  it('of an earlier version count where the API holds their private parts', async () => {
    const { kid, x } = await (await openKeyFolder(folder)).make();
    await insertKey({ kid, x });
    const stranger = await insertKey();
    const keys = await startKeys();
    assert.equal(await signerOf(keys), kid);
    assert.deepEqual(await publishedBy(keys), [kid]);
    assert.deepEqual(await roots.read(), { roots: new Set([await rootOf()]), keys: new Set([kid]) });
    assert.ok((await keys.list()).some((key) => key.kid === stranger.kid && key.state === 'unendorsed'));
  });

  it('are endorsed by a new root where the folder has none', async () => {
    await signerOf(await startKeys());
    const elsewhere = await startKeys(join(folder, 'elsewhere'));
    const next = await elsewhere.rotate(operator);
    const both = new Set([await rootOf(), await rootOf(join(folder, 'elsewhere'))]);
    assert.equal(both.size, 2);
    assert.deepEqual(await roots.read(), { roots: both, keys: new Set() });
    const { rows } = await database.query(
      `SELECT detail FROM waybill.audit_event WHERE action = 'key.rotated' ORDER BY id DESC LIMIT 1`,
    );
    assert.deepEqual(rows[0].detail, { key: next.kid, cause: 'asked', root: true });
    await pass(31);
    assert.equal(await signerOf(elsewhere), next.kid);
  });

  it('sign nothing while the roots file cannot be read', async () => {
    const keys = await startKeys();
    await signerOf(keys);
    await writeFile(rootsFile, 'nonsense\n');
    await assert.rejects(keys.list(), { code: 'KeysUnavailable' });
    await assert.rejects(keys.publicKeys(), { code: 'KeysUnavailable' });
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
    const keys = createPublishedKeys(url, { roots, now: () => nowMs });
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
