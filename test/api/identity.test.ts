import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { get } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { exportSPKI, generateKeyPair, SignJWT } from 'jose';
import { onlyIssuer } from '../../adapters/oidc/trustedIssuers.ts';
import { createAuthenticator, withKeys } from '../../adapters/oidc/verifyAccessToken.ts';
import type { Principal } from '../../domain/principal.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

describe('who may call', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  const runs = async (as: string) => api.call('/v1/runs', { as });
  const now = () => Math.floor(Date.now() / 1000);

  it('a genuine token is let in, whichever of the issuer’s keys signed it', async () => {
    assert.equal((await runs(await api.issuer.token())).status, 200);
    assert.equal((await runs(await api.issuer.token({}, { alg: 'ES256', kid: 'ec' }))).status, 200);
  });

  it('a clock may be off by 5 s', async () => {
    assert.equal((await runs(await api.issuer.token({ exp: now() - 2 }))).status, 200);
  });

  const refused: Record<string, () => Promise<[token: string, code: string]>> = {
    'an expired token': async () => [await api.issuer.token({ exp: now() - 60 }), 'TokenExpired'],
    'a token of the future': async () => [await api.issuer.token({ nbf: now() + 60 }), 'Unauthenticated'],
    'a token for another audience': async () => [await api.issuer.token({ aud: 'other' }), 'Unauthenticated'],
    'a token without audience': async () => [await api.issuer.token({ aud: undefined }), 'Unauthenticated'],
    'a token of another issuer': async () => [
      await api.issuer.token({ iss: 'http://other' }),
      'Unauthenticated',
    ],
    'an issuer that begins alike': async () => [
      await api.issuer.token({ iss: `${api.issuer.url}/` }),
      'Unauthenticated',
    ],
    'a token without subject': async () => [await api.issuer.token({ sub: undefined }), 'Unauthenticated'],
    'a token without expiry': async () => [await api.issuer.token({ exp: undefined }), 'Unauthenticated'],
    'an id token': async () => [await api.issuer.token({}, { typ: 'JWT' }), 'Unauthenticated'],
    'a token with a critical extension': async () => {
      const [, payload] = (await api.issuer.token()).split('.');
      const header = base64({ alg: 'RS256', typ: 'at+jwt', kid: 'rsa', crit: ['x'], x: 1 });
      return [`${header}.${payload}.AAAA`, 'Unauthenticated'];
    },
    'alg none': async () => {
      const [, payload] = (await api.issuer.token()).split('.');
      return [`${base64({ alg: 'none', typ: 'at+jwt' })}.${payload}.`, 'Unauthenticated'];
    },
    'HS256 with the public key as the secret': async () => {
      const [, payload] = (await api.issuer.token()).split('.');
      const signed = `${base64({ alg: 'HS256', typ: 'at+jwt', kid: 'rsa' })}.${payload}`;
      const secret = await exportSPKI(api.issuer.keys.rsa.publicKey);
      return [
        `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`,
        'Unauthenticated',
      ];
    },
    'a stranger’s key under a known kid': async () => {
      const { privateKey } = await generateKeyPair('RS256');
      const [, payload] = (await api.issuer.token()).split('.');
      const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString());
      const forged = new SignJWT(claims).setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'rsa' });
      return [await forged.sign(privateKey), 'Unauthenticated'];
    },
    'a payload that was altered': async () => {
      const [header, payload, signature] = (await api.issuer.token()).split('.');
      const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString());
      return [`${header}.${base64({ ...claims, tenant: 'globex' })}.${signature}`, 'Unauthenticated'];
    },
    'an unknown key': async () => [await api.issuer.token({}, { kid: 'unknown' }), 'Unauthenticated'],
    'what is no token': async () => ['abc', 'Unauthenticated'],
  };
  for (const [what, make] of Object.entries(refused)) {
    it(`${what} is refused`, async () => {
      const [token, code] = await make();
      const response = await runs(token);
      assert.equal(response.status, 401);
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer error="invalid_token"/);
      assert.equal(await codeOf(response), code);
    });
  }

  it('no token is refused, and the challenge names no error', async () => {
    const response = await fetch(`${api.url}/v1/runs`);
    assert.equal(response.headers.get('www-authenticate'), 'Bearer');
    assert.equal(await codeOf(response), 'Unauthenticated');
  });

  for (const [what, claims, missing] of [
    ['of no kind', { kind: undefined }, 'kind'],
    ['without tenant', { tenant: undefined }, 'tenant'],
    ['with a list as tenant', { tenant: ['acme'] }, 'tenant'],
    ['with a path as tenant', { tenant: '../acme' }, 'tenant'],
    ['without roles', { roles: undefined }, 'roles'],
    ['with no role', { roles: [] }, 'roles'],
    ['with a string as roles', { roles: 'data-engineer' }, 'roles'],
  ] as const) {
    it(`a token ${what} is denied and audited`, async () => {
      const subject = `person-${what}`;
      const response = await runs(await api.issuer.token({ sub: subject, ...claims }));
      assert.equal(response.status, 403);
      const trace = response.headers.get('x-trace-id');
      assert.equal(await codeOf(response), 'Forbidden');
      const [event] = await api.rows(`SELECT * FROM waybill.audit_event WHERE txn = $1`, [trace]);
      assert.equal(event?.action, 'access.denied');
      assert.equal((event!.detail as { missing: string }).missing, missing);
    });
  }

  it('who acts for another appears beside them', async () => {
    const as = await api.issuer.token({ act: { sub: 'copilot', kind: 'agent' } });
    const response = await api.call('/v1/pipelines/few/runs', { as, ...json({ records: [{ id: 'a' }] }) });
    const run = (await response.json()) as { requestedBy: { id: string; subject: string; actor: object } };
    assert.equal(run.requestedBy.subject, 'alice');
    const { id, ...actor } = run.requestedBy.actor as { id: string };
    assert.deepEqual(actor, { issuer: api.issuer.url, subject: 'copilot', kind: 'agent' });
    assert.match(id, /^prn_/);
    assert.notEqual(id, run.requestedBy.id);
  });

  it('every caller with a valid token may ask who they are', async () => {
    const as = await api.issuer.token({ act: { sub: 'copilot' }, roles: ['of-no-meaning'] });
    const { id, actor, ...rest } = (await (await api.call('/v1/whoami', { as })).json()) as Principal;
    assert.match(id, /^prn_/);
    assert.notEqual(actor?.id, id);
    assert.deepEqual(rest, {
      issuer: api.issuer.url,
      subject: 'alice',
      kind: 'person',
      tenant: 'acme',
      roles: ['of-no-meaning'],
    });
  });

  it('two Authorization headers are refused, whichever of them is good', async () => {
    const good = `Bearer ${await api.issuer.token()}`;
    for (const two of [
      [good, good],
      [good, 'Bearer x'],
      ['Bearer x', good],
    ]) {
      const status = await new Promise((resolve, reject) => {
        const asked = get(
          `${api.url}/v1/whoami`,
          { headers: { authorization: two as unknown as string } },
          (response) => resolve(response.resume().statusCode),
        );
        asked.once('error', reject);
      });
      assert.equal(status, 401);
    }
  });

  it('the token comes before everything else that could be wrong', async () => {
    for (const path of ['/v1/pipelines/nowhere/runs', '/v1/runs/nowhere/cancel'])
      assert.equal(await codeOf(await api.call(path, { as: 'x', ...json('{') })), 'Unauthenticated');
  });
});

describe('the issuer’s keys', () => {
  it('a flood of unknown keys asks the issuer once', async () => {
    const api = await startIssuerOnly();
    try {
      await api.authenticate(await api.issuer.token());
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) =>
          assert.rejects(api.authenticate(await api.issuer.token({}, { kid: `k${i}` })), {
            code: 'Unauthenticated',
          }),
        ),
      );
      assert.equal(api.issuer.asked.keys, 1);
    } finally {
      await api.issuer.stop();
    }
  });

  it('an issuer that is away makes itself known, and known keys serve on', async () => {
    const api = await startIssuerOnly();
    try {
      api.issuer.setAway(true);
      const token = await api.issuer.token();
      await assert.rejects(api.authenticate(token), { code: 'IdentityProviderUnavailable' });
      const other = createAuthenticator(withKeys(onlyIssuer(api.issuer.url, 'waybill')));
      api.issuer.setAway(false);
      assert.equal((await other.authenticate(token)).outcome, 'placed');
      api.issuer.setAway(true);
      assert.equal((await other.authenticate(token)).outcome, 'placed');
    } finally {
      await api.issuer.stop();
    }
  });
});

async function startIssuerOnly() {
  const { startIssuer } = await import('./issuer.ts');
  const issuer = await startIssuer();
  return { issuer, ...createAuthenticator(withKeys(onlyIssuer(issuer.url, 'waybill'))) };
}

function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
