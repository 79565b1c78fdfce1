/**
 * A record between two steps, as JSON. Where its schema can return what JSON has no form for, such values are
 * marked `{"$":"date","v":…}`, and an object that has a key `$` of its own `{"$":"object","v":…}`. Everywhere else
 * it is plain JSON.
 */
export interface ValueCodec {
  /** Throws `TypeError` for a value that cannot travel, such as a `Map` or an instance of a class. */
  write(value: unknown): string;
  /** What `JSON.parse` made of it, with the marked values back. */
  restore(value: unknown): unknown;
}

export const plainJson: ValueCodec = { write: (value) => JSON.stringify(value), restore: (value) => value };

export const markedJson: ValueCodec = { write: (value) => JSON.stringify(marked(value)), restore: unmarked };

function marked(value: unknown): unknown {
  if (typeof value === 'bigint') return { $: 'bigint', v: value.toString() };
  if (typeof value === 'number' && !Number.isFinite(value)) return { $: 'number', v: String(value) };
  if (typeof value === 'symbol' || typeof value === 'function') throw cannotTravel(typeof value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return { $: 'date', v: value.getTime() };
  if (Array.isArray(value))
    return value.map((part) => (part === undefined ? { $: 'undefined' } : marked(part)));
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null)
    throw cannotTravel(value.constructor?.name ?? 'object');
  const entries = Object.entries(value).map(([key, part]) => [key, marked(part)]);
  const object = Object.fromEntries(entries);
  return Object.hasOwn(value, '$') ? { $: 'object', v: object } : object;
}

function unmarked(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(unmarked);
  if (!Object.hasOwn(value, '$')) return unmarkedFields(value);
  const { $: mark, v } = value as { $: string; v?: unknown };
  if (mark === 'bigint') return BigInt(v as string);
  if (mark === 'number') return Number(v);
  // An invalid Date has no number, which JSON writes as null.
  if (mark === 'date') return new Date((v as number | null) ?? Number.NaN);
  if (mark === 'undefined') return undefined;
  return unmarkedFields(v as object);
}

function unmarkedFields(value: object): object {
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unmarked(part)]));
}

function cannotTravel(what: string): TypeError {
  return new TypeError(
    `The input schema returned a ${what}, which cannot travel between the steps of a run.`,
  );
}
