import { randomBytes } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { WebhookRoot } from '../../domain/webhooks/webhookKey.ts';
import { keepSecret, readSecret } from '../keys/secretFile.ts';

/*
 * The folder with the roots from which the keys of webhooks are derived, one file each (`<id>.jwk`, a JWK of kind `oct`),
 * readable only by the user of the API and the workers. To rotate is to add one: it signs at once, beside
 * the one before, which stops by itself after the overlap. To revoke one at once, remove its file.
 */

export interface Root extends WebhookRoot {
  secret: Buffer;
}

const Jwk = z.object({ kty: z.literal('oct'), kid: z.string(), k: z.base64url(), iat: z.int() });

/** Throws where there is no such folder, or where others can read what lies in it. */
export async function readRoots(folder: string): Promise<Root[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jwk'));
  return Promise.all(names.map((name) => readRoot(join(folder, name))));
}

/** Makes a root and keeps it, durable and whole. */
export async function addRoot(folder: string, nowS: number): Promise<WebhookRoot> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const id = randomBytes(12).toString('base64url');
  const jwk = { kty: 'oct', kid: id, k: randomBytes(32).toString('base64url'), iat: nowS };
  await keepSecret(join(folder, `${id}.jwk`), jwk);
  return { id, createdAtS: nowS };
}

/** The first one, where there is none yet. Two that are made at the same time both count, which is harmless. */
export async function ensureRoot(folder: string, nowS: number): Promise<void> {
  const roots = await readRoots(folder).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (roots.length === 0) await addRoot(folder, nowS);
}

async function readRoot(file: string): Promise<Root> {
  const { kid, k, iat } = Jwk.parse(await readSecret(file));
  const secret = Buffer.from(k, 'base64url');
  if (secret.length < 32) throw new Error(`${file} holds fewer than 32 bytes.`);
  return { id: kid, createdAtS: iat, secret };
}
