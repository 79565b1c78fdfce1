import { calculateJwkThumbprint, compactVerify, EmbeddedJWK, SignJWT } from 'jose';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { type GrantKey, publishedAheadS } from '../../domain/grants/grantKey.ts';
import type { PrivateKey } from './keyFolder.ts';
import type { TrustAnchors } from './keyRoots.ts';

/** `typ` of an endorsement, so that no other token is taken for one. */
const endorsementType = 'grant-key+jwt';

type Endorsed = Pick<GrantKey, 'kid' | 'x' | 'createdAtS' | 'signsFromS'>;

/**
 * The keys that count, in their order: those that a root has endorsed, and those that the roots file lists. Each retires when the next
 * one that counts begins to sign, whatever its row says: a change in the database makes no key sign that should not.
 */
export async function endorsedKeys(
  keys: readonly GrantKey[],
  { roots, keys: listed }: TrustAnchors,
): Promise<GrantKey[]> {
  const checked = await Promise.all(
    keys.map(async (key) => (await isNamed(key)) && (listed.has(key.kid) || (await isEndorsed(key, roots)))),
  );
  const counting = keys.filter((_, i) => checked[i]);
  return counting.map((key) => retiredBySuccessor(key, counting));
}

/** A root signs the thumbprint, the public part and the times of a key. The header carries the public part of the root (RFC 7515). */
export function endorseKey(key: Endorsed, root: Pick<PrivateKey, 'x' | 'key'>): Promise<string> {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: root.x };
  return new SignJWT(claimsOf(key))
    .setProtectedHeader({ alg: 'EdDSA', typ: endorsementType, jwk })
    .sign(root.key);
}

function claimsOf({ kid, x, createdAtS, signsFromS }: Endorsed) {
  return { sub: kid, x, iat: createdAtS, nbf: signsFromS };
}

/** The row is stored under the thumbprint of its own public part. */
async function isNamed({ kid, x }: GrantKey): Promise<boolean> {
  return kid === (await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x }).catch(() => undefined));
}

async function isEndorsed(key: GrantKey, roots: ReadonlySet<string>): Promise<boolean> {
  if (key.endorsement === null) return false;
  try {
    const { payload, protectedHeader } = await compactVerify(key.endorsement, EmbeddedJWK, {
      algorithms: ['EdDSA'],
    });
    const claims: unknown = JSON.parse(new TextDecoder().decode(payload));
    return (
      protectedHeader.typ === endorsementType &&
      roots.has(await calculateJwkThumbprint(protectedHeader.jwk!)) &&
      canonicalJson(claims) === canonicalJson(claimsOf(key))
    );
  } catch {
    return false;
  }
}

/**
 * A rotation publishes a key so long before it signs. A key that replaces a revoked one signs at once, and an API that does not know
 * it yet uses the previous one for up to the same time.
 */
function retiredBySuccessor(key: GrantKey, keys: readonly GrantKey[]): GrantKey {
  const timesS = keys
    .filter((other) => isLater(other, key))
    .map(({ createdAtS }) => createdAtS + publishedAheadS);
  if (timesS.length === 0) return key;
  return { ...key, retiredAtS: Math.min(key.retiredAtS ?? Number.POSITIVE_INFINITY, ...timesS) };
}

function isLater(a: GrantKey, b: GrantKey): boolean {
  return a.createdAtS === b.createdAtS ? a.signsFromS > b.signsFromS : a.createdAtS > b.createdAtS;
}
