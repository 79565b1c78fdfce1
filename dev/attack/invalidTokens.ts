import {
  type CryptoKey,
  decodeJwt,
  decodeProtectedHeader,
  generateKeyPair,
  SignJWT,
  UnsecuredJWT,
} from 'jose';

/** What a forger makes of a valid token: an access token or a grant. */
export interface Forger {
  /** Other claims, under the signature that was there. */
  altered(token: string, change: (claims: object) => object): string;
  /** The same claims, signed with the forger’s key under the key id of the token. */
  resigned(token: string, change?: (claims: object) => object): Promise<string>;
  /** The same claims without a signature. */
  unsigned(token: string): string;
}

export async function createForger(): Promise<Forger> {
  const keys: Record<string, CryptoKey> = {
    EdDSA: (await generateKeyPair('EdDSA')).privateKey,
    ES256: (await generateKeyPair('ES256')).privateKey,
  };
  return {
    altered(token, change) {
      const [head, , signature] = token.split('.');
      const payload = Buffer.from(JSON.stringify(change(decodeJwt(token)))).toString('base64url');
      return `${head}.${payload}.${signature}`;
    },
    resigned(token, change = (claims) => claims) {
      const header = decodeProtectedHeader(token) as { alg: string };
      return new SignJWT({ ...change(decodeJwt(token)) }).setProtectedHeader(header).sign(keys[header.alg]!);
    },
    unsigned: (token) => new UnsecuredJWT(decodeJwt(token)).encode(),
  };
}
