import { type EffectiveLimit, effectiveLimits, limitReached } from '../../domain/limits.ts';
import type { LimitedRates } from '../../domain/ports/limits.ts';
import { cachedByTenant } from './cachedByTenant.ts';
import { selectLimits } from './limits.ts';
import { createRates } from './rates.ts';
import type { Tenants } from './tenants.ts';

/** How old limits may be. */
const maxAgeMs = 1_000;

/** The rates that the limits of tenants allow, kept by all processes together. A pause saves up one second. */
export function createLimitedRates(tenants: Tenants): LimitedRates {
  const rates = createRates(tenants);
  const limitsOf = cachedByTenant<EffectiveLimit[]>(
    async (tenant) => effectiveLimits((await selectLimits(tenants.for(tenant), tenant)).rows, tenant),
    { ageMs: maxAgeMs },
  );
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
