import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { type Api, codeOf, json, startApi } from './startApi.ts';

const event = 'http://schemas.openid.net/event/backchannel-logout';

describe('back-channel logout', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  const nowS = () => Math.floor(Date.now() / 1000);

  function good(claims: object = {}) {
    const iat = nowS();
    const events = { [event]: {} };
    return {
      iss: api.issuer.url,
      aud: 'waybill-cli',
      sub: 'alice',
      iat,
      exp: iat + 120,
      jti: randomUUID(),
      events,
      ...claims,
    };
  }
  const logoutToken = (claims: object = {}, header: Record<string, unknown> = {}) =>
    api.issuer.sign(good(claims), { typ: 'logout+jwt', ...header });
  const send = (logout_token: string) =>
    fetch(`${api.url}/v1/backchannel-logout`, {
      method: 'POST',
      body: new URLSearchParams({ logout_token }),
    });
  const whoami = async (claims: Record<string, unknown>) =>
    api.call('/v1/whoami', { as: await api.issuer.token(claims) });

  /** By the copy that the API keeps, which learns of it within moments. */
  async function untilRefused(claims: Record<string, unknown>): Promise<Response> {
    for (const start = performance.now(); performance.now() - start < 10_000; ) {
      const response = await whoami(claims);
      if (response.status !== 200) return response;
      await response.body?.cancel();
    }
    throw new Error('it was not refused within 10 s');
  }

  it('voids the tokens issued until then, in every tenant, and no later ones and none of other people', async () => {
    const iat = nowS() - 10;
    assert.equal((await whoami({ sub: 'ann', iat })).status, 200);
    const response = await send(await logoutToken({ sub: 'ann', iat: iat + 5 }));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(await codeOf(await untilRefused({ sub: 'ann', iat })), 'SignedOut');
    assert.equal(await codeOf(await whoami({ sub: 'ann', iat: iat + 5 })), 'SignedOut');
    assert.equal(await codeOf(await whoami({ sub: 'ann', iat, tenant: 'globex' })), 'SignedOut');
    assert.equal(await codeOf(await whoami({ sub: 'bob', iat, act: { sub: 'ann' } })), 'SignedOut');
    assert.equal((await whoami({ sub: 'ann', iat: iat + 6 })).status, 200);
    assert.equal((await whoami({ sub: 'bob', iat })).status, 200);
    assert.equal((await whoami({ sub: 'ann2', iat })).status, 200);
  });

  it('is recorded without an actor', async () => {
    const response = await send(await logoutToken({ sub: 'amy' }));
    const [row] = await api.rows('SELECT * FROM waybill.audit_event WHERE txn = $1', [
      response.headers.get('x-trace-id'),
    ]);
    assert.equal(row!.action, 'principal.signed-out');
    assert.deepEqual([row!.tenant, row!.actor], [null, null]);
    assert.equal((row!.detail as { issuer: string }).issuer, api.issuer.url);
  });

  it('counts once, even where the same token comes several times at once', async () => {
    const token = await logoutToken({ sub: 'ada' });
    const statuses = (await Promise.all(Array.from({ length: 5 }, () => send(token)))).map(
      ({ status }) => status,
    );
    assert.deepEqual(statuses.sort(), [200, 400, 400, 400, 400]);
    assert.equal(await codeOf(await send(token)), 'LogoutTokenInvalid');
  });

  it('an earlier one that comes late takes nothing back', async () => {
    const iat = nowS() - 60;
    assert.equal((await send(await logoutToken({ sub: 'abe', iat: iat + 30 }))).status, 200);
    assert.equal((await send(await logoutToken({ sub: 'abe', iat }))).status, 200);
    assert.equal(await codeOf(await untilRefused({ sub: 'abe', iat: iat + 20 })), 'SignedOut');
  });

  it('is taken in the form of older providers too, with one audience of several', async () => {
    for (const [claims, header] of [
      [{}, { typ: undefined }],
      [{}, { typ: 'JWT' }],
      [{ aud: ['waybill-cli', 'other'] }, {}],
      [{ sid: 's1' }, {}],
    ] as const)
      assert.equal((await send(await logoutToken({ sub: 'old', ...claims }, header))).status, 200);
  });

  const refused: Record<string, () => Promise<string>> = {
    'another audience': () => logoutToken({ aud: 'waybill' }),
    'no audience': () => logoutToken({ aud: undefined }),
    'another issuer': () => logoutToken({ iss: 'http://other' }),
    'no events': () => logoutToken({ events: undefined }),
    'another event': () => logoutToken({ events: { [`${event}2`]: {} } }),
    'an event that is no object': () => logoutToken({ events: { [event]: true } }),
    'events that are a list': () => logoutToken({ events: [event] }),
    'a nonce': () => logoutToken({ nonce: 'n' }),
    'no id of its own': () => logoutToken({ jti: undefined }),
    'an id that is a list': () => logoutToken({ jti: ['x'] }),
    'no time': () => logoutToken({ iat: undefined }),
    'a time long ago': () => logoutToken({ iat: nowS() - 700, exp: nowS() + 60 }),
    'a time to come': () => logoutToken({ iat: nowS() + 60 }),
    'an end that is past': () => logoutToken({ exp: nowS() - 60 }),
    'a subject that is a list': () => logoutToken({ sub: ['alice'] }),
    'the type of an access token': () => logoutToken({}, { typ: 'at+jwt' }),
    'the type of a grant': () => logoutToken({}, { typ: 'grant+jwt' }),
    'an unknown key': () => logoutToken({}, { kid: 'unknown' }),
    'a critical extension': async () => {
      const [, payload, signature] = (await logoutToken()).split('.');
      const header = base64({ alg: 'RS256', typ: 'logout+jwt', kid: 'rsa', crit: ['x'], x: 1 });
      return `${header}.${payload}.${signature}`;
    },
    'an access token': () => api.issuer.token({ aud: 'waybill-cli', jti: 'j' }),
    'no signature': async () => {
      const [, payload] = (await logoutToken()).split('.');
      return `${base64({ alg: 'none', typ: 'logout+jwt' })}.${payload}.`;
    },
    'the public key as a secret': async () => {
      const [, payload] = (await logoutToken()).split('.');
      const signed = `${base64({ alg: 'HS256', typ: 'logout+jwt', kid: 'rsa' })}.${payload}`;
      const secret = await exportSPKI(api.issuer.keys.rsa.publicKey);
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
    'a stranger’s key': async () => {
      const { privateKey } = await generateKeyPair('RS256');
      return new SignJWT(good())
        .setProtectedHeader({ alg: 'RS256', typ: 'logout+jwt', kid: 'rsa' })
        .sign(privateKey);
    },
    'what is no token': async () => 'x',
  };
  for (const [what, make] of Object.entries(refused))
    it(`${what} is refused`, async () => {
      assert.equal(await codeOf(await send(await make())), 'LogoutTokenInvalid');
    });

  it('a session alone is refused by a code of its own', async () => {
    assert.equal(
      await codeOf(await send(await logoutToken({ sub: undefined, sid: 's1' }))),
      'LogoutSubjectMissing',
    );
  });

  it('what is no form of one token is refused', async () => {
    const token = await logoutToken();
    const post = (init: RequestInit) =>
      fetch(`${api.url}/v1/backchannel-logout`, { method: 'POST', ...init });
    const form = (text: string) =>
      post({ body: text, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
    assert.equal(await codeOf(await post(json({ logout_token: token }))), 'UnsupportedMediaType');
    assert.equal(await codeOf(await form(`logout_token=${token}&logout_token=${token}`)), 'InvalidRequest');
    assert.equal(await codeOf(await form('')), 'InvalidRequest');
    assert.equal(await codeOf(await form(`logout_token=${'x'.repeat(20_000)}`)), 'RequestTooLarge');
    assert.equal(await codeOf(await post({})), 'InvalidRequest');
  });

  it('a rejected request has signed out no principal', async () => {
    assert.equal((await whoami({ iat: nowS() - 30 })).status, 200);
  });
});

function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
