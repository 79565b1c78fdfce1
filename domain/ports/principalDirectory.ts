import type { Principal, Requester } from '../principal.ts';

/** Who principals are, beside the opaque ids by which records name them, as far as a tenant has met them. */
export interface PrincipalDirectory {
  /** Remembers the principal and its actor in the background. A write that fails is retried with the next request. */
  remember(principal: Principal): void;
  /** The principals of these ids that the tenant knows, including those that this process is still writing. Throws `DatabaseUnavailable`. */
  find(tenant: string, ids: readonly string[]): Promise<ReadonlyMap<string, KnownPrincipal>>;
}

export type KnownPrincipal = Omit<Requester, 'actor'>;
