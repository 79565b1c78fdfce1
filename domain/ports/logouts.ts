/** What an identity provider reports: this subject has signed out. */
interface Logout {
  issuer: string;
  /** `prn_…` */
  principal: string;
  /** Seconds since 1970: what was issued up to then is void. */
  issuedAtS: number;
  /** `jti`, unique within the issuer. */
  tokenId: string;
}

/** Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0). */
export interface LogoutTokens {
  /** Throws `LogoutTokenInvalid`, `LogoutSubjectMissing` or `IdentityProviderUnavailable`. */
  verify(logoutToken: string): Promise<Logout>;
}

/** Remembers who has signed out. */
export interface LogoutRecords {
  /**
   * From now on what was issued to the principal up to then is void, in whatever tenant; recorded once and audited.
   * `false`: the same token was recorded before, and nothing has changed. Throws `DatabaseUnavailable`.
   */
  record(logout: Logout, txn: string): Promise<boolean>;
}
