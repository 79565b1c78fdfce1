import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type CryptoKey, SignJWT, UnsecuredJWT } from 'jose';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { knownKeys } from '../../../adapters/keys/knownKeys.ts';
import { createPublishedKeys, type PublishedKey } from '../../../adapters/keys/publishedKeys.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import type { GrantVerifier } from '../../../domain/ports/grants.ts';
import { grantOfRun as claims, makeKey, publishKeys } from '../../support/keys.ts';

const issuer = 'urn:waybill:test';

/** Resolves with `'verified'` or with the code of the refusal. */
async function tried(verifier: GrantVerifier, grant: string): Promise<string> {
  return verifier.verify(grant).then(
    () => 'verified',
    (error: { code: string }) => error.code,
  );
}

describe('a grant is verified', () => {
  let key: Awaited<ReturnType<typeof makeKey>>;
  let retired: typeof key;
  let server: Awaited<ReturnType<typeof publishKeys>>;
  let verifier: GrantVerifier;

  before(async () => {
    key = await makeKey();
    retired = await makeKey();
    server = await publishKeys([key.jwk, { ...retired.jwk, exp: claims.iat }]);
    // Each look at the clock is half a minute after the one before, so that unknown keys may be asked for at once.
    let nowMs = 0;
    const keys = createPublishedKeys(server.url, { now: () => (nowMs += 30_000) });
    verifier = createGrantVerifier({ keys, issuer });
  });
  after(() => server.stop());

  const altered = (change: object) => ({ ...claims, ...change });
  const signed = (grant: object, by = key) => signGrant(grant, { kid: by.kid, key: by.privateKey });
  const headed = (header: object, by: CryptoKey = key.privateKey) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'grant+jwt', kid: key.kid, ...header })
      .sign(by, { crit: { b64: true, x: true, exp: true } });
  /** Any two texts under a signature of the right key over exactly them. */
  async function signedText(header: string, payload: string): Promise<string> {
    const input = [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.');
    const signature = await crypto.subtle.sign('Ed25519', key.privateKey, Buffer.from(input));
    return `${input}.${Buffer.from(signature).toString('base64url')}`;
  }
  const header = () => JSON.stringify({ alg: 'EdDSA', typ: 'grant+jwt', kid: key.kid });
  const code = (grant: string) => tried(verifier, grant);

  it('with its claims and the thumbprint of its key', async () => {
    assert.deepEqual(await verifier.verify(await signed(claims)), { claims, key: key.kid });
    assert.equal(await code(await signedText(header(), JSON.stringify(claims))), 'verified');
  });

  it('or is malformed: cut, padded, of another form, or not what its text says again', async () => {
    const genuine = await signed(claims);
    const [head, payload, signature] = genuine.split('.');
    const text = JSON.stringify(claims);
    const twice = (name: string, value: string) =>
      text.replace(`"${name}":`, `"${name}":${JSON.stringify(value)},"${name}":`);
    for (const form of [
      '',
      'x.y.z',
      head!,
      `${head}.${payload}`,
      `${head}.${payload}.`,
      `${genuine}.x`,
      genuine.slice(0, -4),
      genuine.slice(0, -1),
      `${genuine}=`,
      `${genuine}\n`,
      ` ${genuine}`,
      `${head}.${payload}.${signature!.slice(0, -1)}/`,
      `${head}.${payload!.slice(0, -8)}.${signature}`,
      `${head}..${signature}`,
      JSON.stringify({ protected: head, payload, signature }),
      `${head}.${'A'.repeat(20_000)}.${signature}`,
      await signedText(header(), twice('sub', 'prn_bob')),
      await signedText(header(), twice('tctx', 'x')),
      await signedText(header(), text.replace('{', '{ ')),
      await signedText(header(), text.replace('"exp":1800000060', '"exp":1.800000060e9')),
      await signedText(header(), text.replace('acme', '\\u0061cme')),
      await signedText(header(), `\ufeff${text}`),
      await signedText(header(), `${text}\n`),
      await signedText(header(), `[${text}]`),
      await signedText(header(), 'null'),
      await signedText(header().replace('{', '{"alg":"none",'), text),
      await signedText(JSON.stringify({ alg: 'EdDSA', typ: 'grant+jwt' }), text),
    ])
      assert.equal(await code(form), 'GrantMalformed', form.slice(0, 60));
  });

  it('or lacks a claim, has one too many, or one of another kind', async () => {
    const { sub: _, ...nameless } = claims;
    const { tenant: __, ...homeless } = claims.tctx;
    for (const wrong of [
      nameless,
      altered({ tctx: homeless }),
      altered({ admin: true }),
      altered({ tctx: { ...claims.tctx, steps: ['everything'] } }),
      altered({ exp: '1800000060' }),
      altered({ sub: null }),
      altered({ act: { sub: 'x' } }),
      JSON.parse(JSON.stringify(claims).replace('{', '{"__proto__":{"admin":true},')),
    ])
      assert.equal(await code(await signed(wrong)), 'GrantMalformed', JSON.stringify(wrong).slice(0, 80));
  });

  it('or is protected by something else than Ed25519, or says itself how to verify it', async () => {
    assert.equal(await code(`${new UnsecuredJWT({ ...claims }).encode()}`), 'GrantAlgorithmUnsupported');
    const secret = new TextEncoder().encode(key.jwk.x);
    const hmac = new SignJWT({ ...claims }).setProtectedHeader({
      alg: 'HS256',
      typ: 'grant+jwt',
      kid: key.kid,
    });
    assert.equal(await code(await hmac.sign(secret)), 'GrantAlgorithmUnsupported');
    const other = await makeKey();
    for (const extra of [
      { crit: ['x'], x: 1 },
      { crit: ['exp'], exp: 1 },
      { crit: ['b64'], b64: true },
      { jwk: other.jwk },
      { jku: 'http://127.0.0.1/keys' },
      { x5u: 'http://127.0.0.1/certificate' },
      { x5c: ['AA=='] },
      { zip: 'DEF' },
      { cty: 'JWT' },
    ])
      assert.equal(await code(await headed(extra)), 'GrantAlgorithmUnsupported', JSON.stringify(extra));
    const unencoded = await signedText(
      JSON.stringify({ alg: 'EdDSA', b64: false, crit: ['b64'], kid: key.kid }),
      '{}',
    );
    assert.equal(await code(unencoded), 'GrantAlgorithmUnsupported');
    for (const alg of ['none', 'eddsa', 'Ed25519', 'ES256', null])
      assert.equal(
        await code(
          await signedText(JSON.stringify({ alg, typ: 'grant+jwt', kid: key.kid }), JSON.stringify(claims)),
        ),
        'GrantAlgorithmUnsupported',
      );
  });

  it('or is a token of another kind', async () => {
    for (const typ of [
      'JWT',
      'at+jwt',
      'txntoken+jwt',
      'decision+jwt',
      'GRANT+JWT',
      'application/grant+jwt',
      undefined,
    ])
      assert.equal(await code(await headed({ typ } as object)), 'GrantTypeMismatch', typ);
  });

  it('or was signed by a key that is unknown, or after its key had retired', async () => {
    const stranger = await makeKey();
    assert.equal(await code(await signed(claims, stranger)), 'GrantKeyNotFound');
    const fetches = server.fetches();
    for (const kid of ['', 'x', '../key', `${key.kid}A`, 'x'.repeat(10_000)])
      assert.equal(await code(await signed(claims, { ...key, kid })), 'GrantKeyNotFound', kid.slice(0, 60));
    assert.equal(server.fetches(), fetches, 'no key is called that');
    assert.equal(await code(await signed(altered({ iat: claims.iat - 1 }), retired)), 'verified');
    for (const iat of [claims.iat, claims.iat + 1, undefined, `${claims.iat - 1}`])
      assert.equal(await code(await signed(altered({ iat }), retired)), 'GrantKeyRetired');
  });

  it('or was not signed by the key that it names', async () => {
    const other = await makeKey();
    const genuine = await signed(claims);
    const [head, payload, signature] = genuine.split('.');
    const bob = Buffer.from(JSON.stringify(altered({ sub: 'prn_bob' }))).toString('base64url');
    const elsewhere = (await signed(altered({ jti: 'g2' }))).split('.')[2];
    for (const forged of [
      await headed({}, other.privateKey),
      `${head}.${bob}.${signature}`,
      `${head}.${payload}.${elsewhere}`,
      `${head}.${payload}.${'A'.repeat(86)}`,
    ])
      assert.equal(await code(forged), 'GrantInvalid');
  });

  it('or is of another Waybill, or for another audience', async () => {
    for (const change of [
      { iss: 'urn:waybill:other' },
      { iss: `${issuer} ` },
      { aud: 'other' },
      { aud: ['waybill'] },
    ])
      assert.equal(await code(await signed(altered(change))), 'GrantIssuerMismatch', JSON.stringify(change));
  });
});

describe('a grant that was verified', () => {
  it('is not verified again for a minute, but its key is looked up each time', async () => {
    const [key, other] = [await makeKey(), await makeKey()];
    const { kid } = key;
    const published = async ({ jwk }: typeof key) => ({
      ...(await knownKeys({ keys: [jwk] }).find(jwk.kid))!,
      kid,
    });
    let found: PublishedKey | undefined = await published(key);
    let nowMs = 0;
    const verifier = createGrantVerifier({ keys: { find: async () => found }, issuer, now: () => nowMs });
    const grant = await signGrant(claims, { kid, key: key.privateKey });
    assert.equal(await tried(verifier, grant), 'verified');
    // No source of ours gives another key by the name of this one; so it is seen which grants are verified.
    found = await published(other);
    nowMs += 59_999;
    assert.equal(await tried(verifier, grant), 'verified');
    const altered = await signGrant({ ...claims, jti: 'g2' }, { kid, key: key.privateKey });
    assert.equal(await tried(verifier, altered), 'GrantInvalid');
    found = { ...found, retiredAtS: claims.iat };
    assert.equal(await tried(verifier, grant), 'GrantKeyRetired');
    found = undefined;
    assert.equal(await tried(verifier, grant), 'GrantKeyNotFound');
    found = await published(other);
    nowMs += 1;
    assert.equal(await tried(verifier, grant), 'GrantInvalid');
  });
});

describe('the public keys', () => {
  let server: Awaited<ReturnType<typeof publishKeys>>;
  let nowMs: number;
  let verifier: GrantVerifier;
  let key: Awaited<ReturnType<typeof makeKey>>;

  beforeEach(async () => {
    key = await makeKey();
    server = await publishKeys([key.jwk]);
    nowMs = 1_000_000;
    verifier = createGrantVerifier({ keys: createPublishedKeys(server.url, { now: () => nowMs }), issuer });
  });
  afterEach(() => server.stop());

  const signedBy = ({ kid, privateKey }: typeof key) => signGrant(claims, { kid, key: privateKey });
  const code = async (by: typeof key) => tried(verifier, await signedBy(by));

  it('cannot be known while the API does not answer, and is soon asked again', async () => {
    server.setAway(true);
    assert.equal(await code(key), 'KeysUnavailable');
    server.setAway(false);
    assert.equal(await code(key), 'KeysUnavailable');
    nowMs += 1_000;
    assert.equal(await code(key), 'verified');
  });

  it('are fetched once, however many unknown keys are named', async () => {
    assert.equal(await code(key), 'verified');
    const flood = await Promise.all(Array.from({ length: 500 }, makeKey));
    const codes = await Promise.all(flood.map(code));
    assert.equal(server.fetches(), 1);
    assert.deepEqual([...new Set(codes)], ['KeysUnavailable']);
    nowMs += 30_000;
    const again = await Promise.all(flood.map(code));
    assert.equal(server.fetches(), 2);
    assert.deepEqual([...new Set(again)], ['GrantKeyNotFound']);
    assert.equal(await code(key), 'verified');
  });

  it('that are new fail nothing, even in the middle of a flood', async () => {
    assert.equal(await code(key), 'verified');
    const fresh = await makeKey();
    server.published.keys.push(fresh.jwk);
    assert.equal(await code(await makeKey()), 'KeysUnavailable');
    assert.equal(await code(fresh), 'KeysUnavailable');
    nowMs += 30_000;
    assert.equal(await code(await makeKey()), 'GrantKeyNotFound');
    assert.equal(await code(fresh), 'verified');
    assert.equal(server.fetches(), 2);
  });

  it('are no proof where they were asked for before the grant came', async () => {
    const answer = server.hold();
    const first = code(key);
    while (server.fetches() === 0) await new Promise(setImmediate);
    const fresh = await makeKey();
    server.published.keys.push(fresh.jwk);
    const second = code(fresh);
    answer();
    assert.deepEqual(await Promise.all([first, second]), ['verified', 'KeysUnavailable']);
    nowMs += 30_000;
    assert.equal(await code(fresh), 'verified');
  });

  it('stay in use when the API does not answer, and a retirement is known within about a minute', async () => {
    assert.equal(await code(key), 'verified');
    server.setAway(true);
    nowMs += 3_600_000;
    assert.equal(await code(key), 'verified');
    server.setAway(false);
    server.published.keys[0] = { ...key.jwk, exp: claims.iat };
    nowMs += 61_000;
    assert.equal(await code(key), 'verified');
    // It was learnt beside the verifications that went on by what was known.
    while ((await code(key)) === 'verified') nowMs += 1_000;
    assert.equal(await code(key), 'GrantKeyRetired');
  });

  it('of other kinds are left out, and what a set calls a key counts for nothing', async () => {
    const other = await makeKey();
    server.published.keys = [
      { kty: 'RSA', n: 'AQAB', e: 'AQAB', kid: 'rsa' },
      { kty: 'oct', k: 'AQAB', kid: other.kid },
      { ...key.jwk, kid: 'another name' },
    ];
    assert.equal(await code(key), 'verified');
    nowMs += 30_000;
    assert.equal(await code({ ...key, kid: 'another name' }), 'GrantKeyNotFound');
  });
});
