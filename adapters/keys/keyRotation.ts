import type { AuditEvent } from '../../domain/audit.ts';
import { type GrantKey, publishedAheadS, signingKey, stateOf } from '../../domain/grants/grantKey.ts';
import type { GrantKeys } from '../../domain/ports/grants.ts';
import { addGrantKey, type KeysNow } from '../postgres/rights/grantKeys.ts';
import type { Tenants } from '../postgres/tenants.ts';
import { endorsedKeys, endorseKey } from './keyEndorsements.ts';
import type { KeyFolder, PrivateKey } from './keyFolder.ts';
import type { WritableKeyRoots } from './keyRoots.ts';

/** Adds signing keys: the private part in the folder, the endorsed public part in the table. One API at a time. */
export interface KeyRotation {
  /** The keys of the table that count. */
  count(all: readonly GrantKey[]): Promise<GrantKey[]>;
  /** Adds a key that signs at once, unless one may sign already. */
  replace(): Promise<KeysNow>;
  /** Adds a key that signs `publishedAheadS` later, unless one is about to. `kid` is of that key. */
  rotate(by: Parameters<GrantKeys['rotate']>[0]): Promise<{ table: KeysNow; kid: string }>;
}

export function createKeyRotation({
  tenants,
  folder,
  roots,
  isRevoked,
}: {
  tenants: Tenants;
  folder: KeyFolder;
  roots: WritableKeyRoots;
  isRevoked(kid: string): boolean;
}): KeyRotation {
  async function count(all: readonly GrantKey[]): Promise<GrantKey[]> {
    const anchors = await roots.find();
    return anchors ? endorsedKeys(all, anchors) : [];
  }

  /**
   * The root, which the first API makes. It is in the roots file before it endorses a key. Keys that do not count then, such as those of a
   * version without roots, are listed beside it where their private part is in the folder.
   */
  async function ensureRoot(all: readonly GrantKey[]): Promise<{ root: PrivateKey; isNew: boolean }> {
    const found = await folder.findRoot();
    const root = found ?? (await folder.makeRoot());
    if (!(await roots.find())?.roots.has(root.kid)) {
      const counting = await count(all);
      const isIn = (keys: readonly { kid: string }[], kid: string) => keys.some((key) => key.kid === kid);
      const held = (await folder.read()).filter(({ kid }) => isIn(all, kid) && !isIn(counting, kid));
      await roots.add({ roots: [root.kid], keys: held.map(({ kid }) => kid) });
    }
    return { root, isNew: !found };
  }

  async function endorsed({ kid, x }: PrivateKey, root: PrivateKey, createdAtS: number, signsFromS: number) {
    const key = { kid, x, createdAtS, signsFromS };
    return { ...key, endorsement: await endorseKey(key, root) };
  }

  return {
    count,

    replace() {
      return addGrantKey(tenants.for(null), async ({ keys: all, nowS }) => {
        const { root, isNew } = await ensureRoot(all);
        const keys = await count(all);
        if (signingKey(keys, nowS, isRevoked)) return undefined;
        // A file without a row comes first, such as one that an operator has put there.
        const spare = (await folder.read()).find((file) => all.every(({ kid }) => kid !== file.kid));
        const createdAtS = Math.floor(nowS);
        const key = await endorsed(spare ?? (await folder.make()), root, createdAtS, createdAtS);
        const cause = keys.length > 0 ? 'revoked' : 'first';
        return { ...key, audit: rotated(key.kid, { cause, ...(isNew && { root: true }) }) };
      });
    },

    async rotate(by) {
      let kid: string | undefined;
      const table = await addGrantKey(tenants.for(by.tenant, by.actor?.id), async ({ keys: all, nowS }) => {
        kid = (await count(all)).find((key) => stateOf(key, nowS, isRevoked) === 'next')?.kid;
        if (kid !== undefined) return undefined;
        const { root, isNew } = await ensureRoot(all);
        const createdAtS = Math.floor(nowS);
        const key = await endorsed(await folder.make(), root, createdAtS, createdAtS + publishedAheadS);
        kid = key.kid;
        return { ...key, audit: rotated(kid, { cause: 'asked', ...(isNew && { root: true }) }, by) };
      });
      return { table, kid: kid! };
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
