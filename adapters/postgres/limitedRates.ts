import { limitReached } from '../../domain/limits.ts';
import type { LimitedRates } from '../../domain/ports/limits.ts';
import { createStandingLimits, type StandingLimits } from './limits.ts';
import { createRates } from './rates.ts';
import type { Tenants } from './tenants.ts';

/** The rates that the limits of tenants allow, kept by all processes together. A pause saves up one second. */
export function createLimitedRates(
  tenants: Tenants,
  limitsOf: StandingLimits = createStandingLimits(tenants),
): LimitedRates {
  const rates = createRates(tenants);
  return {
    async take({ tenant, pipeline }, name, n) {
      for (const limit of await limitsOf(tenant)) {
        if (limit.name !== name || (limit.pipeline ?? pipeline) !== pipeline) continue;
        const bucket = `${name} ${limit.pipeline ?? ''}`.trim();
        const waitMs = await rates.take({ tenant, name: bucket, perSecond: limit.max, burst: limit.max }, n);
        if (waitMs > 0) throw limitReached(limit, `has used up ${limit.max} a second`, waitMs);
      }
    },
  };
}
