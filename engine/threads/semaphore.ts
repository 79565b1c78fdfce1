import { WaybillError } from '../../domain/errors.ts';

/**
 * Lets `running` callers in at a time and `waiting` wait, in the order they came. `take` resolves with the function
 * that gives the turn back. Throws `Internal` (retryable) where too many wait, and the signal’s reason when it aborts.
 */
export class Semaphore {
  readonly #waitingMax: number;
  readonly #waiting = new Set<() => void>();
  #free: number;

  constructor(options: { running: number; waiting: number }) {
    this.#free = options.running;
    this.#waitingMax = options.waiting;
  }

  async take(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    return () => this.#give();
  }

  #wait(signal?: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) {
      throw new WaybillError('Internal', { detail: `${this.#waitingMax} tasks wait for a thread already` });
    }
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
