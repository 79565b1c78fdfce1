import { SignJWT } from 'jose';
import { grantType } from '../../domain/grants/grant.ts';
import type { PrivateKey } from './keyFolder.ts';

/** Signs claims as a compact JWS whose header says `alg`, `typ` and `kid` and nothing else. Default `typ`: a grant’s. */
export function signGrant(
  claims: object,
  { key, kid }: Pick<PrivateKey, 'key' | 'kid'>,
  typ: string = grantType,
): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'EdDSA', typ, kid }).sign(key);
}
