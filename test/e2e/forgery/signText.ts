import { createHmac } from 'node:crypto';
import type { CryptoKey } from 'jose';

export interface Signer {
  kid: string;
  /** The public part, base64url. */
  x: string;
  privateKey: CryptoKey;
}

/** Any two texts as a compact JWS under an Ed25519 signature over exactly them. */
export async function signText(header: string, payload: string, { privateKey }: Signer): Promise<string> {
  const input = inputOf(header, payload);
  const signature = await crypto.subtle.sign('Ed25519', privateKey, Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString('base64url')}`;
}

/** The same under an HMAC, for those who would take a public key for its secret. */
export function signedText(header: string, payload: string, secret: string): string {
  const input = inputOf(header, payload);
  return `${input}.${createHmac('sha256', Buffer.from(secret, 'base64url')).update(input).digest('base64url')}`;
}

function inputOf(header: string, payload: string): string {
  return [header, payload].map((text) => Buffer.from(text).toString('base64url')).join('.');
}
