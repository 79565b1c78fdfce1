import { WaybillError } from '../../domain/errors.ts';
import { type GrantKey, publicJwk, signingKey, stateOf } from '../../domain/grants/grantKey.ts';
import type { GrantKeys, GrantSigner } from '../../domain/ports/grants.ts';
import { coalesceReads } from '../../domain/singleFlight.ts';
import { listen } from '../postgres/listen.ts';
import { type KeysNow, keysChannel, listGrantKeys } from '../postgres/rights/grantKeys.ts';
import type { Tenants } from '../postgres/tenants.ts';
import type { KeyFolder, PrivateKey } from './keyFolder.ts';
import type { WritableKeyRoots } from './keyRoots.ts';
import { createKeyRotation } from './keyRotation.ts';
import { importKey, type KeySource } from './publishedKeys.ts';
import { signGrant } from './signGrant.ts';

const lookEveryMs = 5_000;
/** An API signs by a view of the keys that is younger than this: a third of the time that a new key is published ahead. */
const freshForMs = 10_000;

export interface GrantKeysOptions {
  tenants: Tenants;
  /** Where to listen for keys that other APIs add. */
  database: Parameters<typeof listen>[0];
  folder: KeyFolder;
  /** Where trust in the keys begins. All APIs write to it, each verifier reads it. */
  roots: WritableKeyRoots;
  /** Throws `RevocationsUnavailable` where that cannot be known. */
  isRevoked(kid: string): boolean;
  onError(error: unknown): void;
}

/**
 * The keys that sign grants, as one of several APIs uses them: public parts in PostgreSQL, private parts in a folder that the APIs
 * share.
 *
 * Lifecycle of a key: added (`rotate`), published at once, signs `publishedAheadS` later, retires when the next key begins to sign,
 * never removed. Where no key may sign, because there is none yet or the active one was revoked, the first API that notices adds one
 * that signs at once. An API that does not know it yet may use the revoked one for `publishedAheadS` more; the revocation makes those
 * grants void.
 *
 * A row of the table counts only where a root has endorsed it (keyEndorsements.ts). The root is a file beside the keys, outside of the
 * database.
 *
 * Each API reads the table every 5 s and when notified. The later of the clock of the database and the `iat` of the claims decides
 * which key signs, so that no key signs for a time after its retirement. The published set is read for each request, so that no
 * verifier misses a key that has signed.
 */
export function createGrantKeys(
  options: GrantKeysOptions,
): GrantSigner & GrantKeys & KeySource & { close(): Promise<void> } {
  const { tenants, folder, isRevoked, onError } = options;
  const rotation = createKeyRotation(options);
  /** `keys` are those that count, `all` those of the table. */
  let view:
    | { keys: readonly GrantKey[]; all: readonly GrantKey[]; aheadMs: number; readAtMs: number }
    | undefined;
  let held: readonly PrivateKey[] = [];
  let looking: Promise<void> | undefined;

  async function take({ keys: all, nowS }: KeysNow): Promise<void> {
    held = await folder.read();
    const [aheadMs, readAtMs] = [nowS * 1000 - performance.now(), performance.now()];
    view = { keys: await rotation.count(all), all, aheadMs, readAtMs };
  }

  const look = coalesceReads(async () => {
    await take(await listGrantKeys(tenants.for(null)));
    if (!signingKey(view!.keys, nowS(), isRevoked)) await take(await rotation.replace());
  });
  const readPublished = coalesceReads(async () => {
    const { keys, nowS } = await listGrantKeys(tenants.for(null));
    return { keys: await rotation.count(keys), nowS };
  });

  /** By the clock of the database. */
  function nowS(): number {
    return (performance.now() + view!.aheadMs) / 1000;
  }

  async function freshKeys(): Promise<readonly GrantKey[]> {
    if (!view || performance.now() - view.readAtMs > freshForMs) await look();
    return view!.keys;
  }

  async function findSigner(iat: number): Promise<PrivateKey | undefined> {
    const keys = await freshKeys();
    const wanted = signingKey(keys, Math.max(iat, nowS()), isRevoked);
    return wanted && held.find(({ kid }) => kid === wanted.kid);
  }

  const lookInBackground = () => {
    looking = look().catch(onError);
  };
  const listening = listen(options.database, keysChannel, lookInBackground);
  const timer = setInterval(lookInBackground, lookEveryMs);

  return {
    async sign(claims, typ) {
      let key = await findSigner(claims.iat);
      if (!key) {
        await look();
        key = await findSigner(claims.iat);
      }
      if (key) return signGrant(claims, key, typ);
      throw new WaybillError('KeysUnavailable', {
        detail: 'the private part of the active key is not in the folder of this API',
      });
    },

    async publicKeys() {
      if (!view) await look();
      const { keys, nowS } = await readPublished();
      return { keys: keys.map((key) => publicJwk(key, nowS, isRevoked)) };
    },

    async list() {
      await look();
      const { keys, all } = view!;
      return all.map((key) => {
        const counted = keys.find(({ kid }) => kid === key.kid);
        return counted
          ? { ...counted, state: stateOf(counted, nowS(), isRevoked) }
          : { ...key, state: 'unendorsed' };
      });
    },

    async rotate(by) {
      const { table, kid } = await rotation.rotate(by);
      await take(table);
      const key = table.keys.find((one) => one.kid === kid)!;
      return { ...key, state: stateOf(key, table.nowS, isRevoked) };
    },

    async find(kid) {
      let key = (await freshKeys()).find((one) => one.kid === kid);
      if (!key) {
        await look();
        key = view!.keys.find((one) => one.kid === kid);
      }
      if (!key) return undefined;
      const { x, retiredAtS } = key;
      return importKey({ kty: 'OKP', crv: 'Ed25519', x, ...(retiredAtS != null && { exp: retiredAtS }) });
    },

    async close() {
      clearInterval(timer);
      await listening.close();
      await looking;
    },
  };
}
