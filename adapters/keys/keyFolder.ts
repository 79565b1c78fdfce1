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
 * The folder with the private parts of the signing keys, one file a key, `<kid>.jwk`, and of the root that endorses them, `root.jwk`.
 * Only the user of the API can read the files. All APIs of a Waybill share the folder.
 */
export interface KeyFolder {
  /** All signing keys, those of other APIs too. Throws where other users can read a file. */
  read(): Promise<readonly PrivateKey[]>;
  /** Makes a signing key and stores it. */
  make(): Promise<PrivateKey>;
  findRoot(): Promise<PrivateKey | undefined>;
  /** Makes a root and stores it, in place of any before it. */
  makeRoot(): Promise<PrivateKey>;
}

const rootFile = 'root.jwk';

const Jwk = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string(), d: z.string() });
type Jwk = z.infer<typeof Jwk>;

export async function openKeyFolder(path: string): Promise<KeyFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const known = new Map<string, PrivateKey>();

  async function read(): Promise<readonly PrivateKey[]> {
    const names = (await readdir(path)).filter((name) => name.endsWith('.jwk') && name !== rootFile);
    for (const name of names) if (!known.has(name)) known.set(name, await readKey(join(path, name)));
    return names.map((name) => known.get(name)!);
  }

  /** Durable before the database names it: after a power loss no API could sign otherwise. */
  async function store(nameOf: (kid: string) => string): Promise<PrivateKey> {
    const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    const { kid, jwk } = await named((await exportJWK(privateKey)) as Jwk);
    const file = join(path, nameOf(kid));
    await keepSecret(file, jwk);
    return readKey(file);
  }

  // An unusable folder fails at the start.
  await read();
  return {
    read,
    make: () => store((kid) => `${kid}.jwk`),
    makeRoot: () => store(() => rootFile),
    async findRoot() {
      const names = await readdir(path);
      return names.includes(rootFile) ? readKey(join(path, rootFile)) : undefined;
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
