import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleWhen,
  type IBackoff,
} from 'cockatiel';
import { type ErrorCode, WaybillError } from '../../domain/errors.ts';
import type { BreakerState, Breakers, OutsideSystem } from '../../domain/ports/breakers.ts';

/** What says that the system is away, and not that it rejects one request. */
const outages: readonly ErrorCode[] = [
  'SourceUnavailable',
  'LookupUnavailable',
  'SinkUnavailable',
  'StorageUnavailable',
];
/** Of so many calls, so many may fail: also where each second one does. */
const window = { size: 10, threshold: 0.4, minimumNumberOfCalls: 5 };
/** While a probe is under way. */
const probeMs = 2_000;
const breakersMax = 1_000;

interface Breaker {
  system: OutsideSystem;
  policy: CircuitBreakerPolicy;
  /** Milliseconds since 1970. */
  openUntilMs: number;
  /** Since it was closed for the last time, or ever. */
  hasOpened: boolean;
  why: string;
}

/**
 * Life of a breaker: closed; open once too many of the last calls have failed; half-open after a while, for one probe, which closes it or
 * opens it for twice as long. Each worker has its own.
 *
 * @param options.firstMs how long it is open at first, default 5 s, a quarter more or less
 * @param options.maxMs how long it is open at most, default 60 s
 */
export function createBreakers({ firstMs = 5_000, maxMs = 60_000 } = {}): Breakers {
  const breakers = new Map<string, Breaker>();

  function breakerOf(system: OutsideSystem): Breaker {
    const key = JSON.stringify([system.kind, system.tenant, system.name]);
    const known = breakers.get(key);
    if (known) return known;
    if (breakers.size >= breakersMax) breakers.delete(breakers.keys().next().value!);
    const opening = (ms: number): IBackoff<unknown> => {
      const duration = ms * (0.75 + Math.random() / 2);
      breaker.openUntilMs = Date.now() + duration;
      breaker.hasOpened = true;
      return { duration, next: () => opening(Math.min(ms * 2, maxMs)) };
    };
    const breaker: Breaker = {
      system,
      policy: circuitBreaker(
        handleWhen((error) => error instanceof WaybillError && outages.includes(error.code)),
        { halfOpenAfter: { next: () => opening(firstMs) }, breaker: new CountBreaker(window) },
      ),
      openUntilMs: 0,
      hasOpened: false,
      why: '',
    };
    breakers.set(key, breaker);
    return breaker;
  }

  return {
    async run(system, work) {
      const breaker = breakerOf(system);
      const { policy } = breaker;
      if (policy.state === CircuitState.HalfOpen) throw waiting(breaker, probeMs);
      try {
        return await policy.execute(work);
      } catch (error) {
        if (error instanceof BrokenCircuitError) throw waiting(breaker, breaker.openUntilMs - Date.now());
        if (error instanceof WaybillError && outages.includes(error.code))
          breaker.why = error.publicDetail ?? error.code;
        throw error;
      }
    },

    states() {
      const worst = new Map<string, BreakerState>();
      for (const { system, policy, hasOpened } of breakers.values()) {
        if (!hasOpened) continue;
        const { kind, name } = system;
        const state = stateOf(policy.state);
        const key = JSON.stringify([kind, name]);
        const known = worst.get(key);
        if (!known || order.indexOf(known.state) < order.indexOf(state))
          worst.set(key, { kind, name, state });
      }
      return [...worst.values()];
    },
  };
}

const order: readonly BreakerState['state'][] = ['closed', 'half-open', 'open'];

function stateOf(state: CircuitState): BreakerState['state'] {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half-open' : 'open';
}

/** With jitter, so that not all who wait come at once. */
function waiting({ system, why }: Breaker, leftMs: number): WaybillError {
  return new WaybillError('SystemUnavailable', {
    publicDetail: `It waits for the ${system.kind} ${system.name}. ${why}`.trimEnd(),
    retryAfterMs: Math.ceil(Math.max(leftMs, 100) * (1 + Math.random() / 4)),
  });
}
