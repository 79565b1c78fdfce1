import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { writeAtomically } from '../../cli/writeAtomically.ts';
import type { Home } from './home.ts';

/**
 * The folder of the private keys that sign grants; only the API is told where it is, and fills it. A home of an earlier
 * version has one key in a file of its own, which moves there, so that runs under its grants go on.
 */
export async function ensureGrantKeys(home: Home): Promise<string> {
  const folder = join(home.keys, 'grants');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const single = join(home.keys, 'grant-signing.jwk');
  const text = await readFile(single, 'utf8').catch(() => undefined);
  if (text) await rename(single, join(folder, `${await calculateJwkThumbprint(JSON.parse(text))}.jwk`));
  return folder;
}

/**
 * The key by which the workers prove to the API which program they are, new with each start, and the file from which
 * the API knows it.
 */
export async function makeWorkloadKey(home: Home): Promise<{ keyFile: string; workloadsFile: string }> {
  const keyFile = join(home.keys, 'workload.jwk');
  const workloadsFile = join(home.keys, 'workloads.json');
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  writeAtomically(workloadsFile, JSON.stringify({ worker: { keys: [await exportJWK(publicKey)] } }));
  writeAtomically(keyFile, JSON.stringify(await exportJWK(privateKey)));
  return { keyFile, workloadsFile };
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
