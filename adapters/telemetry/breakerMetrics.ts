import { Gauge, type Registry } from 'prom-client';
import type { Breakers } from '../../domain/ports/breakers.ts';

const systemsMax = 100;
const values = { closed: 0, 'half-open': 1, open: 2 } as const;

/** The breakers of this process that have opened. */
export function measureBreakers(registry: Registry, breakers: Breakers): void {
  new Gauge({
    name: 'waybill_breaker_state',
    help: 'Whether this worker calls another system: 0 yes, 1 it tries, 2 it waits; of systems that have failed.',
    labelNames: ['kind', 'system'] as const,
    registers: [registry],
    collect() {
      this.reset();
      for (const { kind, name, state } of breakers.states().slice(-systemsMax))
        this.set({ kind, system: name }, values[state]);
    },
  });
}
