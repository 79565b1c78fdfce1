import { WaybillError } from '../domain/errors.ts';
import type { Principal } from '../domain/principal.ts';

const streamsMax = 1_000;
const perTenantMax = 600;
const perPrincipalMax = 300;

/** Bounds the event streams that are open at the same time: of one principal, of one tenant, and of all. */
export class EventStreams {
  #open = 0;
  readonly #openOf = new Map<string, number>();

  /** Takes a place until the returned function is called. Throws `TooManyRequests`. */
  enter({ tenant, id }: Pick<Principal, 'tenant' | 'id'>): () => void {
    const bounds = [
      [`principal ${id} of ${tenant}`, perPrincipalMax],
      [`tenant ${tenant}`, perTenantMax],
    ] as const;
    for (const [name, max] of bounds)
      if ((this.#openOf.get(name) ?? 0) >= max)
        throw new WaybillError('TooManyRequests', { detail: `${max} event streams of ${name} are open` });
    if (this.#open >= streamsMax)
      throw new WaybillError('TooManyRequests', { detail: `${streamsMax} event streams are open` });
    const change = (by: 1 | -1) => {
      this.#open += by;
      for (const [name] of bounds) {
        const open = (this.#openOf.get(name) ?? 0) + by;
        if (open > 0) this.#openOf.set(name, open);
        else this.#openOf.delete(name);
      }
    };
    change(1);
    let entered = true;
    return () => {
      if (entered) change(-1);
      entered = false;
    };
  }
}
