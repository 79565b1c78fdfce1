import type { JWK } from 'jose';
import { importKey, type KeySource, type PublishedKey } from './publishedKeys.ts';

/** The keys of a set at hand: no URL is asked, and whatever is not in it is unknown. */
export function knownKeys(set: { keys: readonly JWK[] }): KeySource {
  let imported: Promise<readonly PublishedKey[]> | undefined;
  return {
    async find(kid) {
      imported ??= Promise.all(set.keys.map((jwk) => importKey(jwk as Parameters<typeof importKey>[0])));
      return (await imported).find((key) => key.kid === kid);
    },
  };
}
