/** A key that signs grants, without its private part. Times are whole seconds since 1970, by the clock of the database. */
export interface GrantKey {
  /** RFC 7638 thumbprint. */
  kid: string;
  /** The public Ed25519 key (RFC 8037), base64url. */
  x: string;
  createdAtS: number;
  /** A key is published before it signs, so that each verifier knows it in time. */
  signsFromS: number;
  /** What it signed before this stays genuine; nothing that says it was signed later does. */
  retiredAtS: number | null;
  /** What a root signed for it (a JWS); `null` for a key that the roots file lists itself. */
  endorsement: string | null;
}

/**
 * `next`: published, and soon to sign. `retired`: still verifies what it has signed. `revoked`: that is void as well.
 * `unendorsed`: no root has endorsed it, so that it is not published and its signatures count for nothing.
 */
export type GrantKeyState = 'active' | 'next' | 'retired' | 'revoked' | 'unendorsed';

/** How long a new key is published before it signs. Longer than any API may go on without hearing of it. */
export const publishedAheadS = 30;

/** How long a retired key stays fit for tokens of a few minutes. Afterwards it is there for grants and the audit alone. */
const tokensOutliveKeyS = 600;

type IsRevoked = (kid: string) => boolean;

/** The key that signs at a moment: the newest that has begun to, has not retired and is not revoked. */
export function signingKey(
  keys: readonly GrantKey[],
  atS: number,
  isRevoked: IsRevoked,
): GrantKey | undefined {
  return keys
    .filter((key) => key.signsFromS <= atS && !isRetired(key, atS) && !isRevoked(key.kid))
    .reduce<GrantKey | undefined>((best, key) => (best && !isNewer(key, best) ? best : key), undefined);
}

export function stateOf(key: GrantKey, atS: number, isRevoked: IsRevoked): GrantKeyState {
  if (isRevoked(key.kid)) return 'revoked';
  if (isRetired(key, atS)) return 'retired';
  return key.signsFromS <= atS ? 'active' : 'next';
}

/**
 * The key as others see it (RFC 7517), with `iat`, `nbf` and `exp` as OpenID Federation 1.0 has them for keys of the
 * past. One that is revoked or retired long ago is for no operation any more (`key_ops`), so that a server which knows
 * nothing of revocations takes no new token for genuine; our own verifier knows better and needs it. `endorsement` is ours: a
 * verifier that knows a root checks with it that the key belongs to this Waybill.
 */
export function publicJwk(key: GrantKey, atS: number, isRevoked: IsRevoked): Record<string, unknown> {
  const { kid, x, createdAtS, signsFromS, retiredAtS, endorsement } = key;
  const inUse = !isRevoked(kid) && !isRetired(key, atS - tokensOutliveKeyS);
  return {
    kty: 'OKP',
    crv: 'Ed25519',
    x,
    kid,
    alg: 'EdDSA',
    ...(inUse ? { use: 'sig' } : { key_ops: [] }),
    iat: createdAtS,
    nbf: signsFromS,
    ...(retiredAtS !== null && { exp: retiredAtS }),
    ...(endorsement !== null && { endorsement }),
  };
}

function isRetired({ retiredAtS }: GrantKey, atS: number): boolean {
  return retiredAtS !== null && retiredAtS <= atS;
}

function isNewer(a: GrantKey, b: GrantKey): boolean {
  return a.signsFromS === b.signsFromS ? a.createdAtS > b.createdAtS : a.signsFromS > b.signsFromS;
}
