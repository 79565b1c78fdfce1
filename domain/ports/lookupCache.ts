import type { Lookups } from '../pipelines/lookups.ts';

/** Looked-up values that the workers of a tenant share. All of it throws `DatabaseUnavailable`. */
export interface LookupCache {
  /** Those of the keys that are kept in the scope and have not expired. */
  find(tenant: string, scope: string, keys: readonly string[]): Promise<Lookups>;
  keep(tenant: string, scope: string, found: Lookups, ttlMs: number): Promise<void>;
}

/** Rates that all workers keep together. */
export interface CallRates {
  /** Resolves when the next call of that name may be made. Throws `DatabaseUnavailable`, and the signal’s reason. */
  take(tenant: string, name: string, callsPerS: number, signal: AbortSignal): Promise<void>;
}
