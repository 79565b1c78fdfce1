import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from 'jose';
import { z } from 'zod';
import { keepSecret, readSecret } from './secretFile.ts';

/** A key with its private part. */
export interface PrivateKey {
  /** RFC 7638 thumbprint. */
  kid: string;
  /** The public part, base64url. */
  x: string;
  key: CryptoKey;
}

/**
 * The folder with the private parts of the keys that sign grants, one file a key, `<kid>.jwk`, readable by nobody but
 * whoever runs the API. All APIs of a Waybill share one such folder.
 */
export interface KeyFolder {
  /** All that are there; those made meanwhile by other APIs as well. Throws where a file can be read by others. */
  read(): Promise<readonly PrivateKey[]>;
  /** Makes a key and keeps it. */
  make(): Promise<PrivateKey>;
}

const Jwk = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string(), d: z.string() });
type Jwk = z.infer<typeof Jwk>;

export async function openKeyFolder(path: string): Promise<KeyFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const known = new Map<string, PrivateKey>();

  async function read(): Promise<readonly PrivateKey[]> {
    const names = (await readdir(path)).filter((name) => name.endsWith('.jwk'));
    for (const name of names) if (!known.has(name)) known.set(name, await readKey(join(path, name)));
    return names.map((name) => known.get(name)!);
  }

  // What is wrong with the folder is found out at the start.
  await read();
  return {
    read,
    async make() {
      const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
      const { kid, jwk } = await named((await exportJWK(privateKey)) as Jwk);
      const file = join(path, `${kid}.jwk`);
      // Before the database names it, or nobody could sign after a power loss.
      await keepSecret(file, jwk);
      return readKey(file);
    },
  };
}

async function readKey(file: string): Promise<PrivateKey> {
  const { kid, jwk } = await named(Jwk.parse(await readSecret(file)));
  return { kid, x: jwk.x, key: (await importJWK(jwk, 'EdDSA')) as CryptoKey };
}

async function named({ kty, crv, x, d }: Jwk): Promise<{ kid: string; jwk: Jwk }> {
  return { kid: await calculateJwkThumbprint({ kty, crv, x }), jwk: { kty, crv, x, d } };
}
