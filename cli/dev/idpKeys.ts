import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';

/** What the provider must remember, so that tokens stay good when it is restarted. */
export interface IdpKeys {
  /** Private signing keys, ES256. */
  jwks: { keys: JWK[] };
  /** Sign the cookies of the login page. */
  cookies: string[];
  /** The secret of the client `billing-service`, for the client credentials grant. */
  serviceSecret: string;
}

/** Reads the keys of a home, or makes them (0600) on its first start. */
export async function ensureIdpKeys(file: string): Promise<IdpKeys> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known) return JSON.parse(known);
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  const secret = () => randomBytes(24).toString('base64url');
  const keys: IdpKeys = {
    jwks: { keys: [{ ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'ES256', use: 'sig' }] },
    cookies: [secret()],
    serviceSecret: secret(),
  };
  await writeFile(file, JSON.stringify(keys), { mode: 0o600 });
  return keys;
}
