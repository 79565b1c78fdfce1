/** Programs of ours that prove who they are by a key of their own, such as workers. */
export interface Workloads {
  /**
   * Who signed the assertion (`private_key_jwt`: RFC 7523, OpenID Connect Core, section 9). Each counts once. Throws
   * `WorkloadUnauthenticated` or `DatabaseUnavailable`.
   */
  authenticate(assertion: string): Promise<string>;
}
