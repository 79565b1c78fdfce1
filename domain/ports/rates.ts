/** One bucket of tokens; all processes take from the same. */
export interface RateBucket {
  tenant: string;
  /** Such as `triggersPerSecond orders`. */
  name: string;
  perSecond: number;
  /** Tokens that a pause may save up. */
  burst: number;
}

/** Rates that all processes keep together. */
export interface Rates {
  /**
   * Takes tokens, or none. Resolves with how long to wait before trying again, 0 where they were taken. A bucket that is full gives more
   * than its burst at once, and pays it back. Throws `DatabaseUnavailable`.
   */
  take(bucket: RateBucket, tokens: number): Promise<number>;
}
