import {
  type CryptoKey,
  calculateJwkThumbprint,
  compactVerify,
  decodeProtectedHeader,
  importJWK,
} from 'jose';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { type GrantKey, publishedAheadS } from '../../domain/grants/grantKey.ts';
import type { PrivateKey } from './keyFolder.ts';
import type { KeyAnchors } from './keyRoots.ts';
import { signGrant } from './signGrant.ts';

/** `typ` of a voucher, so that it is taken for nothing else, and nothing else for one. */
const voucherType = 'grant-key+jwt';

type Vouched = Pick<GrantKey, 'kid' | 'x' | 'createdAtS' | 'signsFromS'>;

/** What a key says for the one after it: that it is to follow, and from when on. */
export function signVoucher(key: Vouched, by: Pick<PrivateKey, 'key' | 'kid'>): Promise<string> {
  return signGrant(claimsOf(key), by, voucherType);
}

function claimsOf({ kid, x, createdAtS, signsFromS }: Vouched) {
  return { sub: kid, x, iat: createdAtS, nbf: signsFromS };
}

/** Whom the voucher of a key says it is by; nothing of it is verified. */
function voucherOf({ voucher }: Pick<GrantKey, 'voucher'>): string | undefined {
  if (voucher === null) return undefined;
  try {
    return decodeProtectedHeader(voucher).kid;
  } catch {
    return undefined;
  }
}

/**
 * Those of the keys that a root stands behind, in their order. A key vouches for one other, while it is itself in use and never again:
 * where two claim the same one before them, neither counts, since the database cannot say which was first. It retires at the
 * latest when the first of those that it vouched for begins to sign, or when a root takes its place, whatever the database says:
 * by no row, and by no heir of their own, does whoever has stolen a key of the past make it sign again.
 */
export async function vouchedKeys(
  keys: readonly GrantKey[],
  { roots, closed }: KeyAnchors,
): Promise<GrantKey[]> {
  const named = await Promise.all(keys.map(async (key) => (await isNamed(key)) && key));
  const real = named.filter((key) => key !== false);
  const found = new Map<string, GrantKey>();
  let generation = real.filter(({ kid }) => roots.has(kid));
  while (generation.length > 0) {
    const next: GrantKey[] = [];
    for (const one of generation) {
      const key = retiringBy(one, real.filter(isRootAfter(one, roots)).map(replacesAtS));
      const heirs = closed.has(key.kid) ? [] : await successorsOf(key, real);
      const [heir] = heirs.length === 1 ? heirs : [];
      found.set(
        key.kid,
        retiringBy(
          key,
          heirs.map(({ signsFromS }) => signsFromS),
        ),
      );
      if (heir && !roots.has(heir.kid)) next.push(heir);
    }
    generation = next;
  }
  return real.flatMap(({ kid }) => found.get(kid) ?? []);
}

/** Under its own thumbprint, and not under that of a root. */
async function isNamed({ kid, x }: GrantKey): Promise<boolean> {
  return kid === (await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x }).catch(() => undefined));
}

/** The keys that this one has verifiably vouched for; of an honest one there is no more than one. */
export async function successorsOf(key: GrantKey, keys: readonly GrantKey[]): Promise<GrantKey[]> {
  const heirs: GrantKey[] = [];
  for (const other of keys)
    if (voucherOf(other) === key.kid && (await vouches(key, other))) heirs.push(other);
  return heirs;
}

async function vouches(key: GrantKey, other: GrantKey): Promise<boolean> {
  const { createdAtS } = other;
  if (createdAtS < key.signsFromS || createdAtS >= (key.retiredAtS ?? Number.POSITIVE_INFINITY)) return false;
  try {
    const by = (await importJWK({ kty: 'OKP', crv: 'Ed25519', x: key.x }, 'EdDSA')) as CryptoKey;
    const { payload, protectedHeader } = await compactVerify(other.voucher!, by, { algorithms: ['EdDSA'] });
    const said: unknown = JSON.parse(new TextDecoder().decode(payload));
    return protectedHeader.typ === voucherType && canonicalJson(said) === canonicalJson(claimsOf(other));
  } catch {
    return false;
  }
}

function isRootAfter({ createdAtS }: GrantKey, roots: ReadonlySet<string>): (other: GrantKey) => boolean {
  return (other) => roots.has(other.kid) && other.createdAtS > createdAtS;
}

/** A root may sign at once, and APIs that have not heard of it yet sign with the key before it for a while. */
function replacesAtS({ createdAtS }: GrantKey): number {
  return createdAtS + publishedAheadS;
}

function retiringBy(key: GrantKey, timesS: readonly number[]): GrantKey {
  if (timesS.length === 0) return key;
  return { ...key, retiredAtS: Math.min(key.retiredAtS ?? Number.POSITIVE_INFINITY, ...timesS) };
}
