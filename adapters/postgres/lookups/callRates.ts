import { setTimeout as pause } from 'node:timers/promises';
import type { CallRates } from '../../../domain/ports/lookupCache.ts';
import { sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';

/** How much of the future one worker reserves with one round trip. */
const blockMs = 200;
const blockMax = 100;
/** A turn that its worker did not use is lost after this long, so that no burst follows a pause. */
const lapseMs = 1_000;
const leasesMax = 1_000;

interface Lease {
  /** When each reserved call may be made, by `performance.now()`. */
  turns: number[];
  reserving?: Promise<void> | undefined;
}

/**
 * A rate that all workers share: a row says when the next call may be made, and a worker moves it forward by a block of calls. A worker
 * that is killed takes no more with it than the rest of its block.
 */
export function createCallRates(tenants: Tenants): CallRates {
  const leases = new Map<string, Lease>();

  async function reserve(tenant: string, name: string, callsPerS: number, lease: Lease): Promise<void> {
    const calls = Math.min(blockMax, Math.max(1, Math.floor((callsPerS * blockMs) / 1000)));
    const everyMs = 1000 / callsPerS;
    const { rows } = await tenants.for(tenant).query<{ wait_ms: number }>(
      sql(
        `INSERT INTO waybill.call_rate AS r (name, next_at)
         VALUES (:name, clock_timestamp() + :blockMs::float8 * interval '1 millisecond')
         ON CONFLICT (tenant, name) DO UPDATE
           SET next_at = greatest(r.next_at, clock_timestamp()) + :blockMs::float8 * interval '1 millisecond'
         RETURNING extract(epoch FROM next_at - clock_timestamp())::float8 * 1000 - :blockMs::float8 AS wait_ms`,
        { name, blockMs: calls * everyMs },
        'reserve-calls',
      ),
    );
    const fromMs = performance.now() + Math.max(0, rows[0]!.wait_ms);
    for (let call = 0; call < calls; call++) lease.turns.push(fromMs + call * everyMs);
  }

  return {
    async take(tenant, name, callsPerS, signal) {
      const key = JSON.stringify([tenant, name]);
      const lease = leases.get(key) ?? { turns: [] };
      if (leases.size >= leasesMax) leases.clear();
      leases.set(key, lease);
      for (;;) {
        signal.throwIfAborted();
        const turn = lease.turns.shift();
        if (turn === undefined) {
          lease.reserving ??= reserve(tenant, name, callsPerS, lease).finally(() => {
            lease.reserving = undefined;
          });
          await lease.reserving;
          continue;
        }
        const waitMs = turn - performance.now();
        if (waitMs < -lapseMs) continue;
        if (waitMs > 0) await pause(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
        return;
      }
    },
  };
}
