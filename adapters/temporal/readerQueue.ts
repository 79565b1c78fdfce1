import { WaybillError } from '../../domain/errors.ts';
import type { Reader } from '../../domain/ports/temporalSchedules.ts';
import { Semaphore } from '../../domain/semaphore.ts';

/** Few at a time: each question makes Temporal write a schedule while it also fires the schedules of all tenants. */
const running = 2;
const perTenantMax = 20;
const waitingMax = 200;

/**
 * The queue of users’ questions to Temporal: few at a time, at most 20 of one tenant. `take` resolves with the function that
 * ends the turn. It throws `TooManyRequests`, and the reason of the reader’s signal.
 */
export class ReaderQueue {
  readonly #turns = new Semaphore({ running, waiting: waitingMax, refuse: tooMany });
  readonly #ofTenant = new Map<string, number>();

  async take({ tenant, signal }: Reader): Promise<() => void> {
    const before = this.#ofTenant.get(tenant) ?? 0;
    if (before >= perTenantMax) throw tooMany();
    this.#ofTenant.set(tenant, before + 1);
    try {
      const done = await this.#turns.take(signal);
      return () => {
        done();
        this.#leave(tenant);
      };
    } catch (error) {
      this.#leave(tenant);
      throw error;
    }
  }

  #leave(tenant: string): void {
    const left = this.#ofTenant.get(tenant)! - 1;
    if (left > 0) this.#ofTenant.set(tenant, left);
    else this.#ofTenant.delete(tenant);
  }
}

function tooMany(): WaybillError {
  return new WaybillError('TooManyRequests', { retryAfterMs: 1_000 });
}
