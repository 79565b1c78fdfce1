import { type CryptoKey, calculateJwkThumbprint, importJWK } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { GrantKey } from '../../domain/grants/grantKey.ts';
import { keepSet } from './cachedKeySet.ts';
import { endorsedKeys } from './keyEndorsements.ts';
import type { KeyRoots } from './keyRoots.ts';

/** A public key that signs, or once signed, grants. */
export interface PublishedKey {
  /** RFC 7638 thumbprint, computed here: what a key set calls a key counts for nothing. */
  kid: string;
  key: CryptoKey;
  /** Nothing that it signed at or after this is genuine; seconds since 1970. */
  retiredAtS: number | undefined;
}

/** Where a verifier finds keys. */
export interface KeySource {
  /**
   * `undefined` only where a set that was fetched after the first question lacks the key. Throws
   * `KeysUnavailable` where that cannot be known now.
   */
  find(kid: string): Promise<PublishedKey | undefined>;
}

const timeoutMs = 5_000;
/** An older set is fetched again in the background, and stays in use until then. */
const freshForMs = 60_000;
/** At most one fetch in this time, however many unknown keys are named. Also how long a rotation publishes a key ahead. */
const cooldownMs = 30_000;
/** After a fetch that failed. */
const retryMs = 1_000;
/** Names of unknown keys that are remembered; each takes some 100 bytes. */
const strangersMax = 1_000;

/**
 * The keys at a URL, as a worker sees them. Nothing is fetched before the first grant. From then on the set is kept,
 * fetched again once a minute while it is in use, and stays in use while the URL does not answer. With `roots`, a key of it counts
 * where one of those has endorsed it.
 *
 * A key that the set lacks may be newer than the set, so its absence proves something only in a set that was fetched
 * after the key was first asked for. Until then it cannot be decided (`KeysUnavailable`), and the attempt is tried
 * again: a flood of invented names causes one fetch, and a fresh key never fails a run. When each unknown name was first
 * asked for is therefore remembered.
 */
export function createPublishedKeys(
  url: URL,
  { roots, now = () => performance.now() }: { roots?: KeyRoots | undefined; now?: () => number } = {},
): KeySource {
  const kept = keepSet({
    fetch: () => fetchKeys(url, roots),
    pauseMs: ({ failed }) => (failed ? retryMs : cooldownMs),
    now,
  });
  const strangers = new Map<string, number>();

  return {
    async find(kid) {
      if (!thumbprint.test(kid)) return undefined;
      const known = kept.current()?.get(kid);
      if (known) {
        if (kept.ageMs() > freshForMs) void kept.refresh();
        return known;
      }
      const asked = remember(strangers, kid, kept.moment);
      if (!kept.isLaterThan(asked)) await kept.refresh();
      const found = kept.current()?.get(kid);
      if (found) strangers.delete(kid);
      else if (!kept.isLaterThan(asked)) {
        const failure = kept.failure();
        throw new WaybillError('KeysUnavailable', {
          detail: failure ? String(failure) : `key ${kid.slice(0, 50)} may be newer than the set at hand`,
          cause: failure,
        });
      }
      return found;
    },
  };
}

/** SHA-256 in base64url (RFC 7638). No key has another name. */
const thumbprint = /^[\w-]{43}$/;

/** When the name was first asked for. The oldest is forgotten to make room. */
function remember(strangers: Map<string, number>, kid: string, moment: () => number): number {
  const first = strangers.get(kid);
  if (first !== undefined) return first;
  if (strangers.size >= strangersMax) strangers.delete(strangers.keys().next().value!);
  const now = moment();
  strangers.set(kid, now);
  return now;
}

const Jwk = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string(),
  /** As OpenID Federation 1.0 has them for keys of the past. */
  iat: z.int().optional(),
  nbf: z.int().optional(),
  exp: z.int().optional(),
  endorsement: z.string().optional(),
});
type Jwk = z.infer<typeof Jwk>;

async function fetchKeys(url: URL, roots: KeyRoots | undefined): Promise<Map<string, PublishedKey>> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error',
    // An answer out of a cache on the way would be older than it seems.
    headers: { accept: 'application/json', 'cache-control': 'no-cache' },
  });
  if (!response.ok) throw new Error(`${url.href} answered ${response.status}`);
  const { keys } = z.object({ keys: z.array(z.unknown()) }).parse(await response.json());
  // A set may hold keys of other kinds; those never sign a grant.
  const usable = keys.flatMap((jwk) => Jwk.safeParse(jwk).data ?? []);
  const believed = roots ? await rooted(usable, roots) : usable;
  const imported = await Promise.all(believed.map(importKey));
  return new Map(imported.map((key) => [key.kid, key]));
}

/** The roots are read after the set: the API writes a new root there before it publishes a key that the root endorses. */
async function rooted(set: readonly Jwk[], roots: KeyRoots): Promise<Jwk[]> {
  const keys = await Promise.all(
    set.map(async ({ kty, crv, x, iat, nbf, exp, endorsement }): Promise<GrantKey> => {
      const kid = await calculateJwkThumbprint({ kty, crv, x });
      const times = { createdAtS: iat ?? 0, signsFromS: nbf ?? 0, retiredAtS: exp ?? null };
      return { kid, x, ...times, endorsement: endorsement ?? null };
    }),
  );
  return (await endorsedKeys(keys, await roots.read())).map(({ x, retiredAtS }) => ({
    kty: 'OKP',
    crv: 'Ed25519',
    x,
    ...(retiredAtS !== null && { exp: retiredAtS }),
  }));
}

/** Throws where `jwk` is no public Ed25519 key (RFC 8037). */
export async function importKey({ kty, crv, x, exp }: Jwk): Promise<PublishedKey> {
  const jwk = { kty, crv, x };
  const key = (await importJWK(jwk, 'EdDSA')) as CryptoKey;
  return { kid: await calculateJwkThumbprint(jwk), key, retiredAtS: exp };
}
