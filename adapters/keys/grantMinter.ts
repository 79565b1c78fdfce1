import { randomBytes, randomUUID } from 'node:crypto';
import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import { claimsOf, type GrantTerms } from '../../domain/grants/workflowGrant.ts';
import { signGrant } from './signGrant.ts';

/** Mints grants of workflows. Belongs where callers are verified and workflows are started, never into a worker. */
export interface GrantMinter {
  /** The grant, for `carryingGrant`. Throws `TypeError` where arguments cannot be said in JSON. */
  mint(terms: GrantTerms): Promise<string>;
  /** What to publish for the workers, as a JWK Set (RFC 7517). */
  publicKeys: { keys: JWK[] };
}

/**
 * @param options.issuer `iss` of the grants: a URI of your own, the same as the verifier’s
 * @param options.key a private Ed25519 key as a JWK (RFC 8037)
 */
export async function createGrantMinter(options: { issuer: string; key: JWK }): Promise<GrantMinter> {
  const { kty, crv, x } = options.key;
  const kid = await calculateJwkThumbprint({ kty, crv, x } as JWK);
  const key = (await importJWK(options.key, 'EdDSA')) as CryptoKey;
  return {
    mint(terms) {
      const issue = {
        issuer: options.issuer,
        nowS: Math.floor(Date.now() / 1000),
        jti: randomUUID(),
        traceId: randomBytes(16).toString('hex'),
      };
      return signGrant(claimsOf(terms, issue), { kid, key });
    },
    publicKeys: { keys: [{ kty, crv, x, kid, alg: 'EdDSA', use: 'sig' } as JWK] },
  };
}
