import type { GrantClaims } from '../grant.ts';

/** Signs grants. Only the API has one. */
export interface GrantSigner {
  sign(claims: GrantClaims): Promise<string>;
  /** Public keys, current and retired, as a JWK Set (RFC 7517). */
  publicKeys(): Promise<{ keys: object[] }>;
}

/** Verifies grants by public keys alone. Throws `GrantInvalid` or `KeysUnavailable`. */
export interface GrantVerifier {
  verify(grant: string): Promise<GrantClaims>;
}
