import type { AuditEvent } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { type GrantKey, publicJwk, signingKey, stateOf } from '../../domain/grantKey.ts';
import type { GrantKeys, GrantSigner } from '../../domain/ports/grants.ts';
import { addGrantKey, type KeysNow, keysChannel, listGrantKeys } from '../postgres/grantKeys.ts';
import { listen } from '../postgres/listen.ts';
import type { Tenants } from '../postgres/tenants.ts';
import type { KeyFolder, PrivateKey } from './keyFolder.ts';
import { importKey, type KeySource } from './publishedKeys.ts';
import { readAfterwards } from './readAfterwards.ts';
import { signGrant } from './signGrant.ts';

const lookEveryMs = 5_000;
/** What is known of the keys must be younger than this to sign by; a third of the time that a new one is published ahead. */
const freshForMs = 10_000;

export interface GrantKeysOptions {
  tenants: Tenants;
  /** Where to listen for keys that other APIs add. */
  database: Parameters<typeof listen>[0];
  folder: KeyFolder;
  /** Throws `RevocationsUnavailable` where that cannot be known. */
  isRevoked(kid: string): boolean;
  onError(error: unknown): void;
}

/**
 * The keys of the grants, as one of any number of APIs has them: public parts in PostgreSQL, private parts in a folder
 * that the APIs share.
 *
 * Life of a key: it is added (`rotate`), published from then on, signs `publishedAheadS` later, and retires when the next
 * one begins to sign. It is never removed. Where no key may sign, because there is none yet or the one that did was
 * revoked, the first API that notices adds one that signs at once; its predecessors may be used by APIs that have not
 * heard of it for `publishedAheadS` more, so what they sign meanwhile is void by the revocation, not forged.
 *
 * Each API looks every 5 s and when notified, and signs only by knowledge of at most 10 s of age. Which key signs is
 * decided by the later of the clock of the database and the `iat` of what is signed: a clock that runs ahead then never
 * has a key sign for a time after its retirement. What is published is read anew each time, so that no verifier misses a
 * key that has signed already.
 */
export function createGrantKeys(
  options: GrantKeysOptions,
): GrantSigner & GrantKeys & KeySource & { close(): Promise<void> } {
  const { tenants, folder, isRevoked, onError } = options;
  let standing: { keys: readonly GrantKey[]; aheadMs: number; readAtMs: number } | undefined;
  let held: readonly PrivateKey[] = [];
  let looking: Promise<void> | undefined;
  const readNow = readAfterwards(() => listGrantKeys(tenants.for(null)));

  function take({ keys, nowS }: KeysNow): void {
    standing = { keys, aheadMs: nowS * 1000 - performance.now(), readAtMs: performance.now() };
  }

  const look = readAfterwards(async () => {
    held = await folder.read();
    take(await listGrantKeys(tenants.for(null)));
    if (!signingKey(standing!.keys, nowS(), isRevoked)) await replace();
  });

  /** By the clock of the database. */
  function nowS(): number {
    return (performance.now() + standing!.aheadMs) / 1000;
  }

  async function known(): Promise<readonly GrantKey[]> {
    if (!standing || performance.now() - standing.readAtMs > freshForMs) await look();
    return standing!.keys;
  }

  /** Adds a key where none may sign. A file that is there and was never named, such as one that a person put there, comes first. */
  async function replace(): Promise<void> {
    const after = await addGrantKey(tenants.for(null), async ({ keys, nowS }) => {
      if (signingKey(keys, nowS, isRevoked)) return undefined;
      const files = await folder.read();
      const unnamed = files.find(({ kid }) => !keys.some((key) => key.kid === kid));
      const { kid, x } = unnamed ?? (await folder.make());
      return { kid, x, atOnce: true, audit: rotated(kid, { cause: keys.length > 0 ? 'revoked' : 'first' }) };
    });
    held = await folder.read();
    take(after);
  }

  async function findSigner(iat: number): Promise<PrivateKey | undefined> {
    const keys = await known();
    const wanted = signingKey(keys, Math.max(iat, nowS()), isRevoked);
    return wanted && held.find(({ kid }) => kid === wanted.kid);
  }

  const quietly = () => {
    looking = look().catch(onError);
  };
  const listening = listen(options.database, keysChannel, quietly);
  const timer = setInterval(quietly, lookEveryMs);

  return {
    async sign(claims, typ) {
      let key = await findSigner(claims.iat);
      if (!key) {
        await look();
        key = await findSigner(claims.iat);
      }
      if (key) return signGrant(claims, key, typ);
      throw new WaybillError('KeysUnavailable', {
        detail: 'the private part of the key that signs now is not in the folder of this API',
      });
    },

    async publicKeys() {
      if (!standing) await look();
      const { keys, nowS } = await readNow();
      return { keys: keys.map((key) => publicJwk(key, nowS, isRevoked)) };
    },

    async list() {
      await look();
      return standing!.keys.map((key) => ({ ...key, state: stateOf(key, nowS(), isRevoked) }));
    },

    async rotate(by) {
      let next: GrantKey | undefined;
      const after = await addGrantKey(tenants.for(by.tenant, by.actor?.id), async ({ keys, nowS }) => {
        next = keys.find((key) => stateOf(key, nowS, isRevoked) === 'next');
        if (next) return undefined;
        const { kid, x } = await folder.make();
        return { kid, x, atOnce: false, audit: rotated(kid, { cause: 'asked' }, by) };
      });
      held = await folder.read();
      take(after);
      // Newest first, and nobody adds one while another is to come.
      const key = next ?? after.keys[0]!;
      return { ...key, state: stateOf(key, after.nowS, isRevoked) };
    },

    async find(kid) {
      let key = (await known()).find((one) => one.kid === kid);
      if (!key) {
        await look();
        key = standing!.keys.find((one) => one.kid === kid);
      }
      const { x, retiredAtS } = key ?? {};
      return x === undefined
        ? undefined
        : importKey({ kty: 'OKP', crv: 'Ed25519', x, ...(retiredAtS != null && { exp: retiredAtS }) });
    },

    async close() {
      clearInterval(timer);
      await listening.close();
      await looking;
    },
  };
}

function rotated(
  kid: string,
  detail: object,
  by: Parameters<GrantKeys['rotate']>[0] = { tenant: null, actor: null, txn: null },
): AuditEvent {
  const all = { key: kid, ...detail, ...by.detail };
  return { action: 'key.rotated', outcome: 'success', runId: null, ...by, detail: all };
}
