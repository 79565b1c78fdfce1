/** Requests to other systems, of code that a project brings. */
export interface Outbound {
  /**
   * A `fetch` behind the egress guard. It follows no redirects. It throws `LookupRefused` for a URL that may not be called, and
   * `LookupUnavailable` where there is no answer, or one that will pass: 408, 425, 429 and 5xx.
   */
  fetch(options: {
    /** Requests may carry secrets, so a host that is not allowed by name is called by https alone. */
    secret: boolean;
    signal: AbortSignal;
    /** Learns of each `host:port` that is called. */
    onHost(host: string): void;
  }): typeof fetch;
}
