import type { Principal } from '../principal.ts';

/** Turns an access token into who sent it. */
export interface Authenticator {
  /** Throws `Unauthenticated`, `TokenExpired` or `IdentityProviderUnavailable`. */
  authenticate(accessToken: string): Promise<Identified>;
}

/**
 * A genuine token names somebody; only one with a tenant and at least one role names somebody who may act.
 * What is absent is never filled in.
 */
export type Identified =
  | { outcome: 'placed'; principal: Principal }
  | { outcome: 'unplaced'; who: Pick<Principal, 'id' | 'kind'>; missing: 'tenant' | 'roles' };
