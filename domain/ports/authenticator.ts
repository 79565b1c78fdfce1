import type { Principal, PrincipalKind } from '../principal.ts';

/** Turns an access token into who sent it. */
export interface Authenticator {
  /** Throws `Unauthenticated`, `TokenExpired` or `IdentityProviderUnavailable`. */
  authenticate(accessToken: string): Promise<Identified>;
}

/**
 * A valid token names a subject; only a subject with a tenant and at least one role is a principal that may act.
 * What is absent is never filled in.
 */
export type Identified =
  | {
      outcome: 'placed';
      principal: Principal;
      /** Seconds since 1970: what was issued up to a moment may have been revoked since. */
      issuedAtS: number;
      /** Seconds since 1970. */
      expiresAtS: number;
    }
  | {
      outcome: 'unplaced';
      /** `kind` is `null` where the token does not say. */
      who: { id: string; kind: PrincipalKind | null };
      missing: 'match' | 'kind' | 'tenant' | 'roles' | 'person' | 'act';
    };
