import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { importJWK, type JWK, SignJWT } from 'jose';

/** Who a worker is to the API, and the file with its private key (a JWK), which is read each time, so that it may be exchanged. */
export interface WorkloadKey {
  id: string;
  keyFile: string;
}

const lifetimeS = 30;

/** Proves once which workload asks (RFC 7523, section 3). Throws where the key cannot be used. */
export async function assertClient({ id, keyFile }: WorkloadKey, audience: string): Promise<string> {
  const jwk = JSON.parse(await readFile(keyFile, 'utf8')) as JWK;
  const alg = jwk.kty === 'EC' ? 'ES256' : 'EdDSA';
  const header = { alg, typ: 'client-authentication+jwt', ...(jwk.kid && { kid: jwk.kid }) };
  return new SignJWT({})
    .setProtectedHeader(header)
    .setIssuer(id)
    .setSubject(id)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${lifetimeS} s`)
    .sign(await importJWK(jwk, alg));
}
