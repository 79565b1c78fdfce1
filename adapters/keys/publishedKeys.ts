import { type CryptoKey, calculateJwkThumbprint, importJWK } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';

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
   * `undefined` only where no key of that name was published at a moment after somebody first asked for it. Throws
   * `KeysUnavailable` where that cannot be known now.
   */
  find(kid: string): Promise<PublishedKey | undefined>;
}

const timeoutMs = 5_000;
/** Keys this old are asked for again, beside the verification that found them old; they serve on meanwhile. */
const freshForMs = 60_000;
/** At most one fetch in this time, however many unknown keys are named. Also how long a rotation publishes a key ahead. */
const cooldownMs = 30_000;
/** After a fetch that failed. */
const retryMs = 1_000;
/** Names of unknown keys that are remembered; each takes some 100 bytes. */
const strangersMax = 1_000;

/**
 * The keys at a URL, as a worker sees them. Nothing is fetched before the first grant. From then on the set is kept,
 * asked for again once a minute while it is in use, and serves as it is as long as nobody answers.
 *
 * A key that the set lacks may be newer than the set, so its absence proves something only in a set that was fetched
 * after the key was first asked for. Until then it cannot be decided (`KeysUnavailable`), and the attempt is tried
 * again: a flood of invented names causes one fetch, and a fresh key never fails a run. When each unknown name was first
 * asked for is therefore remembered.
 */
export function createPublishedKeys(url: URL, now: () => number = () => performance.now()): KeySource {
  let keys = new Map<string, PublishedKey>();
  /** When the fetch began that `keys` comes from, and when the last one began. */
  let asOfMs = Number.NEGATIVE_INFINITY;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  /** What came before what is counted, since two things may happen at one time of the clock. */
  let events = 0;
  let asOfEvent = 0;
  let failure: unknown;
  let fetching: Promise<void> | undefined;
  const strangers = new Map<string, number>();

  function refresh(): Promise<void> {
    if (fetching) return fetching;
    const startedAtMs = now();
    if (startedAtMs - triedAtMs < (failure ? retryMs : cooldownMs)) return Promise.resolve();
    triedAtMs = startedAtMs;
    const event = ++events;
    fetching = fetchKeys(url)
      .then((set) => {
        keys = set;
        asOfMs = startedAtMs;
        asOfEvent = event;
        failure = undefined;
      })
      .catch((error) => {
        failure = error;
      })
      .finally(() => {
        fetching = undefined;
      });
    return fetching;
  }

  return {
    async find(kid) {
      if (!thumbprint.test(kid)) return undefined;
      const known = keys.get(kid);
      if (known) {
        if (now() - asOfMs > freshForMs) void refresh();
        return known;
      }
      const asked = remember(strangers, kid, ++events);
      if (asOfEvent < asked) await refresh();
      const found = keys.get(kid);
      if (found) strangers.delete(kid);
      else if (asOfEvent < asked)
        throw new WaybillError('KeysUnavailable', {
          detail: failure ? String(failure) : `key ${kid.slice(0, 50)} may be newer than the set at hand`,
          cause: failure,
        });
      return found;
    },
  };
}

/** SHA-256 in base64url (RFC 7638). No key has another name. */
const thumbprint = /^[\w-]{43}$/;

/** When the name was first asked for. The oldest is forgotten to make room. */
function remember(strangers: Map<string, number>, kid: string, event: number): number {
  const first = strangers.get(kid);
  if (first !== undefined) return first;
  if (strangers.size >= strangersMax) strangers.delete(strangers.keys().next().value!);
  strangers.set(kid, event);
  return event;
}

const Jwk = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string(),
  /** As OpenID Federation 1.0 has it for keys of the past. */
  exp: z.int().optional(),
});
type Jwk = z.infer<typeof Jwk>;

async function fetchKeys(url: URL): Promise<Map<string, PublishedKey>> {
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
  const imported = await Promise.all(usable.map(importKey));
  return new Map(imported.map((key) => [key.kid, key]));
}

/** Throws where `jwk` is no public Ed25519 key (RFC 8037). */
export async function importKey({ kty, crv, x, exp }: Jwk): Promise<PublishedKey> {
  const jwk = { kty, crv, x };
  const key = (await importJWK(jwk, 'EdDSA')) as CryptoKey;
  return { kid: await calculateJwkThumbprint(jwk), key, retiredAtS: exp };
}
