import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** A small OIDC issuer over HTTP; a test can change each claim of its tokens. */
export async function startIssuer() {
  const keys = { rsa: await generateKeyPair('RS256'), ec: await generateKeyPair('ES256') };
  const published = [
    { ...(await exportJWK(keys.rsa.publicKey)), kid: 'rsa', alg: 'RS256', use: 'sig' },
    { ...(await exportJWK(keys.ec.publicKey)), kid: 'ec', alg: 'ES256', use: 'sig' },
  ];
  const asked = { discovery: 0, keys: 0 };
  let away = false;
  const server = createServer((request, response) => {
    if (away) return void response.writeHead(503).end();
    response.setHeader('content-type', 'application/json');
    if (request.url === '/keys') {
      asked.keys++;
      return void response.end(JSON.stringify({ keys: published }));
    }
    asked.discovery++;
    response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  /** Without changes, a good token of alice at acme. `undefined` takes a claim away. */
  async function token(
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const good = { iss: url, sub: 'alice', aud: 'waybill', iat: now, exp: now + 600, kind: 'person' };
    return sign(
      { ...good, tenant: 'acme', roles: ['data-engineer'], ...claims },
      { typ: 'at+jwt', ...header },
    );
  }

  /** Nothing but these claims; without changes to the header, by RS256 and of no type. */
  async function sign(claims: object, header: Record<string, unknown> = {}): Promise<string> {
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: 'rsa', ...header })
      .sign(header.alg === 'ES256' ? keys.ec.privateKey : keys.rsa.privateKey);
  }

  /** From now on there is another key, under a new name. */
  async function rotate(kid: string): Promise<void> {
    keys.rsa = await generateKeyPair('RS256');
    published.splice(0, 1, { ...(await exportJWK(keys.rsa.publicKey)), kid, alg: 'RS256', use: 'sig' });
  }

  return {
    url,
    token,
    sign,
    rotate,
    keys,
    published,
    asked,
    setAway: (value: boolean) => {
      away = value;
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
