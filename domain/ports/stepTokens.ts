/** Tokens with which a step calls another system as the person of its run. Kept in memory only, and never logged. */
export interface StepTokens {
  /**
   * A new token of at most five minutes for the current step and the server at the origin. Throws `TokenUnavailable`,
   * and, where the endpoint refuses the grant, what a refused attempt throws.
   */
  obtain(step: string, origin: string): Promise<string>;
}
