import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { createIdp } from '../../cli/dev/idp.ts';
import { ensureIdpKeys } from '../../cli/dev/idpKeys.ts';
import { cliClientId, devGrantType } from '../../cli/dev/idpNames.ts';
import { obtainToken } from '../../cli/dev/obtainToken.ts';

const server = createServer();
let issuer: string;
let folder: string;
let secret: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  const keys = await ensureIdpKeys(join(folder, 'idp.json'));
  secret = keys.serviceSecret;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.on('request', createIdp(issuer, 'waybill', keys).callback());
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await rm(folder, { recursive: true });
});

async function verified(token: string) {
  const discovery = (await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()) as {
    jwks_uri: string;
  };
  return jwtVerify(token, createRemoteJWKSet(new URL(discovery.jwks_uri)), {
    issuer,
    audience: 'waybill',
    typ: 'at+jwt',
    algorithms: ['ES256'],
  });
}

test('alice’s token says who she is, for one hour', async () => {
  const { token, expiresInS } = await obtainToken(issuer, 'alice');
  const { payload } = await verified(token);
  assert.equal(payload.sub, 'alice');
  assert.equal(payload.tenant, 'acme');
  assert.deepEqual(payload.roles, ['data-engineer']);
  assert.equal(payload.kind, 'person');
  assert.equal(payload.act, undefined);
  assert.equal(payload.exp! - payload.iat!, 3600);
  assert.equal(expiresInS, 3600);
});

test('the agent acts for alice', async () => {
  const { payload } = await verified((await obtainToken(issuer, 'copilot')).token);
  assert.equal(payload.sub, 'alice');
  assert.deepEqual(payload.act, { sub: 'copilot', kind: 'agent' });
});

test('a stranger gets no token', async () => {
  await assert.rejects(obtainToken(issuer, 'mallory'), /name must be one of: alice, bob/);
  await assert.rejects(obtainToken(issuer, 'toString'), /name must be one of/);
});

test('a page in a browser gets no token', async () => {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { origin: 'http://elsewhere.example' },
    body: new URLSearchParams({ grant_type: devGrantType, client_id: cliClientId, name: 'alice' }),
  });
  assert.equal(response.status, 400);
});

test('the service authenticates with its own secret and is the same principal', async () => {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`billing-service:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'waybill' }),
  });
  const { access_token } = (await response.json()) as { access_token: string };
  const { payload } = await verified(access_token);
  assert.equal(payload.sub, 'billing-service');
  assert.equal(payload.kind, 'service');
  const named = await verified((await obtainToken(issuer, 'billing-service')).token);
  assert.equal(named.payload.sub, 'billing-service');
});

test('the device flow begins', async () => {
  const response = await fetch(`${issuer}/device/auth`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: cliClientId, scope: 'openid waybill' }),
  });
  const { user_code, verification_uri } = (await response.json()) as Record<string, string>;
  assert.ok(user_code);
  assert.equal((await fetch(verification_uri!)).status, 200);
});

test('the keys are for their owner’s eyes and stay the same', async () => {
  const file = join(folder, 'idp.json');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await ensureIdpKeys(file)).serviceSecret, secret);
});
