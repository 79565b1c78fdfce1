import type { ApplicationOptions, ApplicationPorts } from '../application/ports.ts';

/** What the API needs of the world: all that its use cases need. */
export type ApiPorts = ApplicationPorts;

export interface ApiOptions extends ApplicationOptions {
  /** Where Temporal’s Web UI is; without it runs link to none. */
  temporalUiUrl?: string;
  /** Issuers at which people sign in for this API. Default: none are named. */
  authorizationServers?: readonly string[];
  /** Learns of each request once it is answered or its caller is gone. Default: nothing does. */
  onAnswered?(request: { method: string; route: string; status: number; tookMs: number }): void;
  /** Default: no log. */
  log?: { level: 'debug' | 'info' | 'warn' | 'error' };
}
