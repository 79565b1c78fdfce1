import { SignJWT } from 'jose';
import { grantType } from '../../domain/grants/grant.ts';
import type { PrivateKey } from './keyFolder.ts';

/** Signs claims as a compact JWS. Its header has `alg`, `typ` and `kid` and nothing else. Default `typ`: that of a grant. */
export function signGrant(
  claims: object,
  { key, kid }: Pick<PrivateKey, 'key' | 'kid'>,
  typ: string = grantType,
): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ alg: 'EdDSA', typ, kid }).sign(key);
}
