import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { writeAtomically } from '../../cli/writeAtomically.ts';

/** What the provider must remember, so that tokens stay good when it is restarted. */
export interface IdpKeys {
  /** Private signing keys, ES256. */
  jwks: { keys: JWK[] };
  /** Sign the cookies of the login page. */
  cookies: string[];
  /** The public key of the client `billing-service`, which keeps the private one in a file beside. */
  service: JWK;
}

/** The private key by which `billing-service` proves to the provider who it is, in the folder of the keys of a home. */
export const serviceKeyFile = 'billing-service.jwk';

/** Reads the keys of a home, or makes them (0600) on its first start. */
export async function ensureIdpKeys(file: string): Promise<IdpKeys> {
  const own = await ensure(file, async () => ({
    jwks: { keys: [await createKey()] },
    cookies: [randomBytes(24).toString('base64url')],
  }));
  const { d: _, ...service } = await ensure(join(dirname(file), serviceKeyFile), createKey);
  return { ...own, service };
}

async function ensure<T>(file: string, make: () => Promise<T>): Promise<T> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known) return JSON.parse(known);
  const made = await make();
  writeAtomically(file, JSON.stringify(made));
  return made;
}

async function createKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'ES256', use: 'sig' };
}
