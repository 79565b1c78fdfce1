import { WaybillError } from '../domain/errors.ts';

/** A body this small does not count; each connection holds one at most. */
const countedFromBytes = 65_536;
const perPrincipalMaxBytes = 12 * 1_048_576;
const maxBytes = 32 * 1_048_576;

/**
 * Bounds the bytes of large JSON bodies that are held at the same time, of one principal and of all: while it is handled, a body takes
 * about ten times its size. `hold` throws `TooManyRequests` and `Overloaded`.
 */
export class BodyBudget {
  #heldBytes = 0;
  readonly #heldOf = new Map<string, number>();

  hold(principal: string): HeldBody {
    let sizeBytes = 0;
    let countedBytes = 0;
    const count = (bytes: number) => {
      this.#heldBytes += bytes;
      const held = (this.#heldOf.get(principal) ?? 0) + bytes;
      if (held > 0) this.#heldOf.set(principal, held);
      else this.#heldOf.delete(principal);
      countedBytes += bytes;
    };
    return {
      grow: (bytes) => {
        sizeBytes += bytes;
        if (sizeBytes < countedFromBytes) return;
        const more = sizeBytes - countedBytes;
        const held = this.#heldOf.get(principal) ?? 0;
        if (held + more > perPrincipalMaxBytes)
          throw new WaybillError('TooManyRequests', { detail: `${held} bytes of bodies are held already` });
        if (this.#heldBytes + more > maxBytes)
          throw new WaybillError('Overloaded', {
            detail: `${this.#heldBytes} bytes of bodies are held already`,
          });
        count(more);
      },
      release: () => count(-countedBytes),
    };
  }
}

export interface HeldBody {
  grow(bytes: number): void;
  /** Once the request is answered; again it does nothing. */
  release(): void;
}
