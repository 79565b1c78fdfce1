import { WaybillError } from './errors.ts';

/**
 * Lets `running` callers in at a time and `waiting` callers wait, first come, first served. `take` resolves with the
 * function that gives the turn back. It throws what `refuse` returns if too many wait (default: `Internal`, retryable),
 * and the signal’s reason if the signal aborts.
 */
export class Semaphore {
  readonly #waitingMax: number;
  readonly #refuse: () => WaybillError;
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor({ running, waiting, refuse }: SemaphoreOptions) {
    this.#free = running;
    this.#waitingMax = waiting;
    this.#refuse =
      refuse ??
      (() => new WaybillError('Internal', { detail: `${waiting} callers wait for a turn already` }));
  }

  async take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    return () => this.#give();
  }

  #wait(signal?: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) throw this.#refuse();
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.delete(onTurn);
        reject(signal!.reason);
      };
      this.#waiting.add(onTurn);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #give(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

interface SemaphoreOptions {
  running: number;
  waiting: number;
  refuse?: () => WaybillError;
}
