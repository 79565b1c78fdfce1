import { WaybillError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/principal.ts';
import { parseIssuers, type TrustedIssuerOptions } from './trustedIssuers.ts';
import { createAuthenticator, withKeys } from './verifyAccessToken.ts';

/**
 * Turns OIDC access tokens (RFC 9068) of the issuers into principals. Each entry has the shape of docs/identity-providers.md;
 * keys are found by discovery, kept, and renewed.
 */
export function createCallerAuthenticator(issuers: readonly TrustedIssuerOptions[]): {
  /** Throws `Unauthenticated`, `TokenExpired`, `Forbidden` (valid, but without tenant, role or kind) or `IdentityProviderUnavailable`. */
  authenticate(accessToken: string): Promise<Principal>;
} {
  const authenticator = createAuthenticator(withKeys(parseIssuers(issuers)));
  return {
    async authenticate(accessToken) {
      const identified = await authenticator.authenticate(accessToken);
      if (identified.outcome === 'placed') return identified.principal;
      throw new WaybillError('Forbidden', { detail: `the token has no fitting ${identified.missing}` });
    },
  };
}
