import type { Principal, Requester } from '../principal.ts';

/** Who principals are, beside the opaque ids by which records name them, as far as a tenant has met them. */
export interface PrincipalDirectory {
  /** Remembers who asks, and who acts for them, without anybody waiting for it. What cannot be written now is tried the next time. */
  remember(principal: Principal): void;
  /** By their ids, those of whom the tenant knows, of this process also whom it is still writing down. Throws `DatabaseUnavailable`. */
  find(tenant: string, ids: readonly string[]): Promise<ReadonlyMap<string, KnownPrincipal>>;
}

export type KnownPrincipal = Omit<Requester, 'actor'>;
