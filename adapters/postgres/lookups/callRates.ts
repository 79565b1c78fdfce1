import { setTimeout as pause } from 'node:timers/promises';
import type { CallRates } from '../../../domain/ports/lookupCache.ts';
import { blockMs, createRates } from '../rates.ts';
import type { Tenants } from '../tenants.ts';

/** The rate of a pipeline’s calls, which all workers share: a call waits until there is a token. A pause saves up one block. */
export function createCallRates(tenants: Tenants): CallRates {
  const rates = createRates(tenants);
  return {
    async take(tenant, name, callsPerS, signal) {
      const burst = Math.max(1, Math.ceil((callsPerS * blockMs) / 1_000));
      while (true) {
        signal.throwIfAborted();
        const waitMs = await rates.take({ tenant, name, perSecond: callsPerS, burst }, 1);
        if (waitMs === 0) return;
        await pause(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    },
  };
}
