import { WaybillError } from '../domain/errors.ts';
import { limitReached } from '../domain/limits.ts';
import type { Principal } from '../domain/principal.ts';

const streamsMax = 1_000;
const perPrincipalMax = 300;

/** Bounds the event streams that are open at the same time: of one principal, of one tenant, and of all. */
export class EventStreams {
  #open = 0;
  readonly #openOf = new Map<string, number>();

  /** Takes a place until the returned function is called. Throws `TooManyRequests`, `LimitReached`. */
  enter({ tenant, id }: Pick<Principal, 'tenant' | 'id'>, tenantMax: number): () => void {
    const bounds = [`principal ${id} of ${tenant}`, `tenant ${tenant}`] as const;
    const [ofPrincipal, ofTenant] = bounds.map((name) => this.#openOf.get(name) ?? 0) as [number, number];
    if (ofPrincipal >= perPrincipalMax)
      throw new WaybillError('TooManyRequests', { detail: `${ofPrincipal} event streams are open` });
    if (ofTenant >= tenantMax)
      throw limitReached(
        { name: 'eventStreams', pipeline: null },
        `has ${ofTenant} of at most ${tenantMax}`,
        60_000,
      );
    if (this.#open >= streamsMax)
      throw new WaybillError('TooManyRequests', { detail: `${streamsMax} event streams are open` });
    const change = (by: 1 | -1) => {
      this.#open += by;
      for (const name of bounds) {
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
