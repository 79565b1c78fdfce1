import type { GrantClaims } from '../grant.ts';

/** Signs grants. Only the API has one. */
export interface GrantSigner {
  sign(claims: GrantClaims): Promise<string>;
  /** Public keys, current and retired, as a JWK Set (RFC 7517). */
  publicKeys(): Promise<{ keys: object[] }>;
}

/** Claims of which the signature, issuer, audience and type are verified, and the thumbprint of the key that signed them. */
export interface VerifiedGrant<Claims = GrantClaims> {
  claims: Claims;
  key: string;
}

/**
 * Verifies grants by public keys alone. Throws `GrantMalformed`, `GrantAlgorithmRefused`, `GrantTypeMismatch`,
 * `GrantKeyUnknown`, `GrantKeyRetired`, `GrantInvalid`, `GrantIssuerMismatch` or `KeysUnavailable`.
 */
export interface GrantVerifier<Claims = GrantClaims> {
  verify(grant: string): Promise<VerifiedGrant<Claims>>;
}
