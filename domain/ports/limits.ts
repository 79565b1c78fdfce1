import type { EffectiveLimit, LimitName } from '../limits.ts';

/** How much of a limit a tenant, or one of its pipelines, uses. */
export interface LimitUse extends EffectiveLimit {
  /** `null`: nothing is counted, since the limit is of a rate or of each API. */
  use: number | null;
}

/** Rates of tenants and of their pipelines. */
export interface LimitedRates {
  /**
   * Takes from a rate of the tenant and of the pipeline. Throws `LimitReached`, with how long to wait, where nothing was taken of one of
   * them; `DatabaseUnavailable`.
   */
  take(of: { tenant: string; pipeline: string }, name: RateName, n: number): Promise<void>;
}

type RateName = Extract<LimitName, `${string}PerSecond`>;

/** What bounds tenants. */
export interface TenantLimits {
  /** All limits of a tenant; both they and their use may be some seconds old. Throws `DatabaseUnavailable`. */
  read(tenant: string): Promise<LimitUse[]>;
  /** A limit of the tenant as a whole. Throws `DatabaseUnavailable`. */
  max(tenant: string, name: LimitName): Promise<number>;
}
