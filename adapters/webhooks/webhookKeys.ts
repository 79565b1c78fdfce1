import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { WaybillError } from '../../domain/errors.ts';
import type { WebhookKeys } from '../../domain/ports/deliveries.ts';
import { rootsInUse } from '../../domain/webhooks/webhookKey.ts';
import { addRoot, type Root, readRoots } from './rootFolder.ts';

/** Signs events of a tenant. */
export interface WebhookSigner {
  /** A signature by each key in use, newest first, base64. Throws `KeysUnavailable`. */
  sign(tenant: string, content: string): Promise<string[]>;
}

/** A root that was added counts within this time. */
const freshForMs = 5_000;
/** Keys that are kept derived; each takes about 2 KB. */
const derivedMax = 1_000;

interface TenantKey {
  privateKey: KeyObject;
  jwk: Record<string, unknown>;
}

/**
 * The Ed25519 keys of all tenants, derived from the roots in a folder (HKDF, RFC 5869): there is nothing to store for a tenant,
 * and an event that was signed for one of them proves nothing to the receivers of another (Standard Webhooks: “unique per
 * endpoint, or potentially customer”). Any name has a key, so a request for one does not reveal which tenants exist.
 */
export function openWebhookKeys(folder: string, now: () => number = Date.now): WebhookSigner & WebhookKeys {
  let roots: { asOfMs: number; read: Promise<Root[]> } | undefined;
  const derived = new Map<string, TenantKey>();

  async function inUse(): Promise<Root[]> {
    const nowMs = now();
    if (!roots || nowMs - roots.asOfMs > freshForMs || nowMs < roots.asOfMs)
      roots = { asOfMs: nowMs, read: readRoots(folder) };
    try {
      const found = rootsInUse(await roots.read, Math.floor(nowMs / 1000));
      if (found.length > 0) return found;
      throw new Error(`${folder} holds no key`);
    } catch (error) {
      roots = undefined;
      throw new WaybillError('KeysUnavailable', { detail: String(error), cause: error });
    }
  }

  async function keysOf(tenant: string): Promise<TenantKey[]> {
    return Promise.all((await inUse()).map((root) => keyOf(root, tenant)));
  }

  async function keyOf(root: Root, tenant: string): Promise<TenantKey> {
    const name = `${root.id} ${tenant}`;
    const known = derived.get(name);
    if (known) return known;
    if (derived.size >= derivedMax) derived.delete(derived.keys().next().value!);
    const key = await derive(root, tenant);
    derived.set(name, key);
    return key;
  }

  return {
    async sign(tenant, content) {
      const keys = await keysOf(tenant);
      return keys.map(({ privateKey }) => sign(null, Buffer.from(content), privateKey).toString('base64'));
    },
    async publicKeys(tenant) {
      return { keys: (await keysOf(tenant)).map(({ jwk }) => jwk) };
    },
    async rotate() {
      const [newest, before] = await readRoots(folder)
        .then((all) => rootsInUse(all, Math.floor(now() / 1000)))
        .catch(() => []);
      if (newest && before) return { id: newest.id, createdAtS: newest.createdAtS };
      try {
        return await addRoot(folder, Math.floor(now() / 1000));
      } catch (error) {
        throw new WaybillError('KeysUnavailable', { detail: String(error), cause: error });
      } finally {
        roots = undefined;
      }
    },
  };
}

async function derive({ secret, createdAtS }: Root, tenant: string): Promise<TenantKey> {
  const seed = Buffer.from(hkdfSync('sha256', secret, '', `waybill webhook ${tenant}`, 32));
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
  const { kty, crv, x } = createPublicKey(privateKey).export({ format: 'jwk' });
  const kid = await calculateJwkThumbprint({ kty: kty!, crv: crv!, x: x! });
  const whpk = `whpk_${Buffer.from(x!, 'base64url').toString('base64')}`;
  return { privateKey, jwk: { kty, crv, x, kid, alg: 'EdDSA', use: 'sig', iat: createdAtS, whpk } };
}

/** What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
