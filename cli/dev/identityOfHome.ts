import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import type { Home } from './home.ts';
import { writeAtomically } from './writeAtomically.ts';

/**
 * The file of the private key that signs grants (Ed25519, RFC 8037; `kid` is its RFC 7638 thumbprint). Made once per
 * home, readable by its owner alone; only the API is told where it is.
 */
export async function ensureGrantKey(home: Home): Promise<string> {
  const file = join(home.keys, 'grant-signing.jwk');
  if (await readFile(file).catch(() => undefined)) return file;
  const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  const jwk = await exportJWK(privateKey);
  const complete = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'EdDSA', use: 'sig' };
  writeAtomically(file, JSON.stringify(complete));
  return file;
}

/** The name of this Waybill in its grants: those of another home are refused even by mistake. */
export async function ensureInstance(home: Home): Promise<string> {
  const file = join(home.path, 'instance');
  const known = (await readFile(file, 'utf8').catch(() => '')).trim();
  if (known) return known;
  const instance = `dev-${randomBytes(8).toString('hex')}`;
  writeAtomically(file, instance);
  return instance;
}
