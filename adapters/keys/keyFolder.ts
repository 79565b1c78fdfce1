import { mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from 'jose';
import { z } from 'zod';

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
      await keep(join(path, `${kid}.jwk`), JSON.stringify(jwk));
      return readKey(join(path, `${kid}.jwk`));
    },
  };
}

async function readKey(file: string): Promise<PrivateKey> {
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0)
    throw new Error(`${file} can be read by others than its owner. chmod 600 it, or better: make a new key.`);
  const { kid, jwk } = await named(Jwk.parse(JSON.parse(await readFile(file, 'utf8'))));
  return { kid, x: jwk.x, key: (await importJWK(jwk, 'EdDSA')) as CryptoKey };
}

async function named({ kty, crv, x, d }: Jwk): Promise<{ kid: string; jwk: Jwk }> {
  return { kid: await calculateJwkThumbprint({ kty, crv, x }), jwk: { kty, crv, x, d } };
}

/** Durable and whole before the database names it, or nobody could sign after a power loss. */
async function keep(file: string, text: string): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  const handle = await open(partial, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
}
