import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import type { GrantClaims } from '../../domain/grants/grant.ts';

/** A key pair of the kind that signs grants, with its public part as a set publishes it. */
export async function makeKey() {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint({ kty: kty!, crv: crv!, x: x! });
  return { kid, privateKey, publicKey, jwk: { kty, crv, x, kid, alg: 'EdDSA', use: 'sig' } };
}

/** A server of a key set that a test can change, count the fetches of, hold back and take away. */
export async function publishKeys(keys: object[] = []) {
  const published = { keys };
  let fetches = 0;
  let away = false;
  let held: Promise<void> | undefined;
  const server = createServer(async (_, response) => {
    fetches++;
    const body = JSON.stringify(published);
    await held;
    if (away) response.writeHead(503).end();
    else response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/jwks.json`),
    published,
    fetches: () => fetches,
    setAway: (value: boolean) => {
      away = value;
    },
    /** Answers from now on wait until the returned function is called; they say what was published when they were asked. */
    hold(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = undefined;
        resolve();
      };
    },
    async stop(): Promise<void> {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Claims of a grant as the API mints them: alice’s, for the run `orders-1`. */
export const grantOfRun: GrantClaims = {
  iss: 'urn:waybill:test',
  aud: 'waybill',
  iat: 1_800_000_000,
  exp: 1_800_000_060,
  jti: 'g1',
  txn: '0af7651916cd43dd8448eb211c80319c',
  sub: 'prn_alice',
  scope: 'ingest validate transform store finalize',
  req: {
    iss: 'https://issuer.test',
    sub: 'alice',
    iat: 1_800_000_000,
    kind: 'person',
    roles: ['data-engineer'],
  },
  tctx: {
    tenant: 'acme',
    namespace: 'default',
    workflowId: 'orders-1',
    workflowType: 'runPipeline',
    pipeline: 'orders',
    version: 1,
    definitionDigest: 'd',
    sourceDigest: 's',
    parametersDigest: 'x',
    steps: ['ingest', 'validate', 'transform', 'store', 'finalize'],
    policyDigest: 'p',
  },
};
