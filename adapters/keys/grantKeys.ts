import type { AuditEvent } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import {
  type GrantKey,
  publicJwk,
  publishedAheadS,
  signingKey,
  stateOf,
} from '../../domain/grants/grantKey.ts';
import type { GrantKeys, GrantSigner } from '../../domain/ports/grants.ts';
import { listen } from '../postgres/listen.ts';
import { addGrantKey, type KeysNow, keysChannel, listGrantKeys } from '../postgres/rights/grantKeys.ts';
import type { Tenants } from '../postgres/tenants.ts';
import type { KeyFolder, PrivateKey } from './keyFolder.ts';
import type { WritableKeyRoots } from './keyRoots.ts';
import { importKey, type KeySource } from './publishedKeys.ts';
import { readAfterwards } from './readAfterwards.ts';
import { signGrant } from './signGrant.ts';
import { signVoucher, successorsOf, vouchedKeys } from './vouchers.ts';

const lookEveryMs = 5_000;
/** What is known of the keys must be younger than this to sign by; a third of the time that a new one is published ahead. */
const freshForMs = 10_000;

export interface GrantKeysOptions {
  tenants: Tenants;
  /** Where to listen for keys that other APIs add. */
  database: Parameters<typeof listen>[0];
  folder: KeyFolder;
  /** Where trust in the keys begins; all APIs write to it, and whoever verifies reads it. */
  roots: WritableKeyRoots;
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
 * A row of the table is believed for what stands behind it, not for being there: the active key vouches for the next one, and a
 * key that none can vouch for (the first, and one that takes the place of a revoked or a lost one) becomes a root, in a file
 * that whoever writes to the database cannot reach. That is written first, so that no key is published before it counts. Where
 * there is no such file yet, as after an upgrade, those keys become roots of which the private part is in the folder.
 *
 * Each API looks every 5 s and when notified, and signs only by knowledge of at most 10 s of age. Which key signs is
 * decided by the later of the clock of the database and the `iat` of what is signed: a clock that runs ahead then never
 * has a key sign for a time after its retirement. What is published is read anew each time, so that no verifier misses a
 * key that has signed already.
 */
export function createGrantKeys(
  options: GrantKeysOptions,
): GrantSigner & GrantKeys & KeySource & { close(): Promise<void> } {
  const { tenants, folder, roots, isRevoked, onError } = options;
  /** `keys`: those that count; `all`: whatever the table holds. */
  let standing:
    | { keys: readonly GrantKey[]; all: readonly GrantKey[]; aheadMs: number; readAtMs: number }
    | undefined;
  let held: readonly PrivateKey[] = [];
  let looking: Promise<void> | undefined;
  const readNow = readAfterwards(async () => {
    const { keys, nowS } = await listGrantKeys(tenants.for(null));
    return { keys: await counting(keys), nowS };
  });

  async function take({ keys: all, nowS }: KeysNow): Promise<void> {
    const [aheadMs, readAtMs] = [nowS * 1000 - performance.now(), performance.now()];
    standing = { keys: await counting(all), all, aheadMs, readAtMs };
  }

  async function counting(all: readonly GrantKey[]): Promise<GrantKey[]> {
    const anchors = await roots.find();
    return anchors ? vouchedKeys(all, anchors) : [];
  }

  const look = readAfterwards(async () => {
    held = await folder.read();
    await take(await listGrantKeys(tenants.for(null)));
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
    const after = await addGrantKey(tenants.for(null), async ({ keys: all, nowS }) => {
      const files = await folder.read();
      const isKnown = ({ kid }: PrivateKey) => all.some((key) => key.kid === kid);
      if (!(await roots.find())) await roots.add({ roots: files.filter(isKnown).map(({ kid }) => kid) });
      const keys = await counting(all);
      if (signingKey(keys, nowS, isRevoked)) return undefined;
      const { kid, x } = files.find((file) => !isKnown(file)) ?? (await folder.make());
      const createdAtS = Math.floor(nowS);
      await roots.add({ roots: [kid], closed: await childless(keys) });
      const audit = rotated(kid, { cause: keys.length > 0 ? 'revoked' : 'first', root: true });
      return { kid, x, createdAtS, signsFromS: createdAtS, voucher: null, audit };
    });
    held = await folder.read();
    await take(after);
  }

  /** Revoked before they vouched for anybody: whoever has stolen one must not do so now. */
  async function childless(keys: readonly GrantKey[]): Promise<string[]> {
    const revoked = keys.filter(({ kid }) => isRevoked(kid));
    const heirs = await Promise.all(revoked.map((key) => successorsOf(key, keys)));
    return revoked.filter((_, i) => heirs[i]!.length === 0).map(({ kid }) => kid);
  }

  /**
   * What the active key says for `next`. `null`, and `next` is a root, where there is no such key, its private part is not here,
   * or it has vouched for another already, which was revoked meanwhile.
   */
  async function vouchFor(
    next: Pick<GrantKey, 'kid' | 'x' | 'createdAtS' | 'signsFromS'>,
    all: readonly GrantKey[],
  ): Promise<string | null> {
    const active = signingKey(await counting(all), next.createdAtS, isRevoked);
    const by = active && held.find(({ kid }) => kid === active.kid);
    if (by && (await successorsOf(active, all)).length === 0) return signVoucher(next, by);
    await roots.add({ roots: [next.kid] });
    return null;
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
      const { keys, all } = standing!;
      return all.map((key) => {
        const counted = keys.find(({ kid }) => kid === key.kid);
        return counted
          ? { ...counted, state: stateOf(counted, nowS(), isRevoked) }
          : { ...key, state: 'unvouched' };
      });
    },

    async rotate(by) {
      let next: GrantKey | undefined;
      let made: PrivateKey | undefined;
      held = await folder.read();
      const after = await addGrantKey(tenants.for(by.tenant, by.actor?.id), async ({ keys: all, nowS }) => {
        next = (await counting(all)).find((key) => stateOf(key, nowS, isRevoked) === 'next');
        if (next) return undefined;
        made = await folder.make();
        const createdAtS = Math.floor(nowS);
        const key = { kid: made.kid, x: made.x, createdAtS, signsFromS: createdAtS + publishedAheadS };
        const voucher = await vouchFor(key, all);
        const audit = rotated(made.kid, { cause: 'asked', ...(voucher === null && { root: true }) }, by);
        return { ...key, voucher, audit };
      });
      held = await folder.read();
      await take(after);
      const key = next ?? after.keys.find(({ kid }) => kid === made!.kid)!;
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
