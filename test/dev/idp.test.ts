import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { type CryptoKey, createRemoteJWKSet, generateKeyPair, importJWK, jwtVerify } from 'jose';
import * as client from 'openid-client';
import { cliClientId, devGrantType, obtainToken } from '../../cli/embedded/obtainToken.ts';
import { createIdp } from '../../dev/stack/idp.ts';
import { ensureIdpKeys, type IdpKeys, serviceKeyFile } from '../../dev/stack/idpKeys.ts';
import { openBrowser } from '../cli/browser.ts';

const server = createServer();
let issuer: string;
let folder: string;
let keys: IdpKeys;
/** What the provider told Waybill at this address. */
const told: URLSearchParams[] = [];
const waybill = createServer(async (request, response) => {
  told.push(new URLSearchParams(await text(request)));
  response.end();
});

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  keys = await ensureIdpKeys(join(folder, 'idp.json'));
  const [logoutUrl] = await Promise.all([
    listening(waybill),
    listening(server).then((url) => (issuer = url)),
  ]);
  server.on('request', createIdp(issuer, 'waybill', keys, logoutUrl).callback());
});

after(async () => {
  for (const one of [server, waybill]) {
    one.close();
    one.closeAllConnections();
  }
  await rm(folder, { recursive: true });
});

async function listening(one: Server): Promise<string> {
  await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(one.address() as AddressInfo).port}`;
}

function discover(id: string, proof: client.ClientAuth) {
  return client.discovery(new URL(issuer), id, undefined, proof, { execute: [client.allowInsecureRequests] });
}

async function keySet() {
  const { jwks_uri } = (await discover(cliClientId, client.None())).serverMetadata();
  return createRemoteJWKSet(new URL(jwks_uri!));
}

async function verified(token: string) {
  return jwtVerify(token, await keySet(), {
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

test('the service proves by its key who it is, and is the same principal', async () => {
  const key = JSON.parse(await readFile(join(folder, serviceKeyFile), 'utf8'));
  const config = await discover(
    'billing-service',
    client.PrivateKeyJwt((await importJWK(key, 'ES256')) as CryptoKey),
  );
  const { access_token } = await client.clientCredentialsGrant(config, { scope: 'waybill' });
  const { payload } = await verified(access_token);
  assert.equal(payload.sub, 'billing-service');
  assert.equal(payload.kind, 'service');
  const named = await verified((await obtainToken(issuer, 'billing-service')).token);
  assert.equal(named.payload.sub, 'billing-service');
});

test('another key, a secret, or no proof at all is refused', async () => {
  const { privateKey } = await generateKeyPair('ES256');
  for (const proof of [
    client.PrivateKeyJwt(privateKey),
    client.ClientSecretBasic('secret'),
    client.ClientSecretPost('secret'),
    client.None(),
  ])
    await assert.rejects(client.clientCredentialsGrant(await discover('billing-service', proof)), {
      status: 401,
    });
});

test('a login by the device flow has a session; when it ends, its tokens end and Waybill is told', async () => {
  const config = await discover(cliClientId, client.None());
  const device = await client.initiateDeviceAuthorization(config, { scope: 'openid' });
  const browser = openBrowser();
  await browser.signIn(device.verification_uri_complete!, 'alice');
  const { access_token, refresh_token } = await client.pollDeviceAuthorizationGrant(config, device);
  assert.equal((await verified(access_token)).payload.sub, 'alice');
  const renewed = await client.refreshTokenGrant(config, refresh_token!);
  assert.equal((await verified(renewed.access_token)).payload.sub, 'alice');

  await browser.signOut(config.serverMetadata().end_session_endpoint!);
  await assert.rejects(client.refreshTokenGrant(config, renewed.refresh_token!), { error: 'invalid_grant' });
  const [form] = told;
  const { protectedHeader, payload } = await jwtVerify(form!.get('logout_token')!, await keySet(), {
    issuer,
    audience: cliClientId,
  });
  assert.equal(protectedHeader.typ, 'logout+jwt');
  assert.equal(payload.sub, 'alice');
});

test('the keys are for their owner’s eyes and stay the same', async () => {
  const file = join(folder, 'idp.json');
  for (const one of [file, join(folder, serviceKeyFile)]) assert.equal((await stat(one)).mode & 0o777, 0o600);
  assert.deepEqual(await ensureIdpKeys(file), keys);
  assert.equal(keys.service.d, undefined);
});
