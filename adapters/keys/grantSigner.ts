import { readFile } from 'node:fs/promises';
import { calculateJwkThumbprint, importJWK, type JWK, SignJWT } from 'jose';
import { type GrantClaims, grantType } from '../../domain/grant.ts';
import type { GrantSigner } from '../../domain/ports/grants.ts';

/** Signs with the private Ed25519 key (a JWK, RFC 8037) in a file that only the API can read. */
export async function createGrantSigner(file: string): Promise<GrantSigner> {
  const jwk = JSON.parse(await readFile(file, 'utf8')) as JWK;
  const kid = await calculateJwkThumbprint(jwk);
  const key = await importJWK(jwk, 'EdDSA');
  const { kty, crv, x } = jwk;
  const published = { kty, crv, x, kid, alg: 'EdDSA', use: 'sig' };
  return {
    sign: (claims: GrantClaims) =>
      new SignJWT({ ...claims }).setProtectedHeader({ alg: 'EdDSA', typ: grantType, kid }).sign(key),
    publicKeys: async () => ({ keys: [published] }),
  };
}
