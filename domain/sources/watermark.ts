/**
 * How far the runs of a pipeline have read a source, and stored what they read. A run reads the window that begins there,
 * keeps it for all its attempts, and moves the mark in the transaction that makes its rows visible: so a run that fails moves
 * nothing, and a run that never happened leaves its window to the next.
 */
export type Mark = FieldMark | BytesMark | ObjectsMark;

/** The highest value of a field, in the one notation that `comparable` gives it. */
export interface FieldMark {
  kind: 'field';
  value: string;
}

/** The end of the last complete record of a file that grows, with what proves that the file still begins as it did. */
export interface BytesMark {
  kind: 'bytes';
  /** Names of the columns, of CSV only. */
  header?: readonly string[];
  head: Piece;
  /** The last batch that was read; it ends where the next window begins. */
  tail: Piece & { firstLine: number };
}

/** The last object that was read: by the order of keys, or by the time at which objects were modified. */
export interface ObjectsMark {
  kind: 'objects';
  value: string;
  /** Which objects of that very instant were read. */
  seen?: readonly string[];
}

/** Bytes of a file, with their lower-case hex SHA-256. */
export interface Piece {
  firstByte: number;
  sizeBytes: number;
  digest: string;
}

/** What one run reads: fixed by its first attempt, the same for every later one. */
export type Window =
  | {
      kind: 'field';
      order: FieldOrder;
      /** Where it begins; `null` reads all there is. */
      since: string | null;
    }
  | {
      kind: 'bytes';
      fromByte: number;
      /** The line on which `fromByte` lies, from 1. */
      firstLine: number;
      header?: readonly string[];
      untilByte: number;
      head: Piece;
    }
  | {
      kind: 'objects';
      /** Digest of the list, which lies in the object store of the run. */
      list: string;
      objects: number;
      /** Where the next window begins, of a source with a cursor. */
      through?: ObjectsMark;
    };

/** How the values of a field follow one another: as instants, as days, as whole numbers. */
export type FieldOrder = 'instant' | 'date' | 'integer';

/**
 * A value as a mark has it: instants in UTC, with as many digits of a second as they have (`Z` at the end), days as they are,
 * whole numbers in decimal. `undefined` for what is none of its kind: an instant without offset, a year of five digits.
 */
export function comparable(order: FieldOrder, value: unknown): string | undefined {
  if (order === 'integer') return wholeNumber(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : instant(value.toISOString());
  if (typeof value !== 'string') return undefined;
  if (order === 'instant') return instant(value);
  return /^\d{4}-\d\d-\d\d$/.test(value) ? value : undefined;
}

/** Whether `a` comes after `b`; both as `comparable` gives them. */
export function isLater(order: FieldOrder, a: string, b: string): boolean {
  if (order === 'integer') return BigInt(a) > BigInt(b);
  // Without its `Z` an instant that has more digits of the same second comes later as text too.
  return a.replace('Z', '') > b.replace('Z', '');
}

/** The later of the two, where there are two. */
export function laterOf<T extends string | null | undefined>(order: FieldOrder, a: T, b: T): T {
  if (a == null || b == null) return a ?? b;
  return isLater(order, b, a) ? b : a;
}

function wholeNumber(value: unknown): string | undefined {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value).toString() : undefined;
  return typeof value === 'string' && /^(0|-?[1-9]\d{0,99})$/.test(value) ? value : undefined;
}

const instantText = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d(?::?\d\d)?)$/;

function instant(text: string): string | undefined {
  const [, minute, second = '00', digits = '', offset = 'Z'] = instantText.exec(text) ?? [];
  if (minute === undefined) return undefined;
  const atMs = Date.parse(`${minute}:${second}${offset === 'Z' ? offset : spelledOut(offset)}`);
  if (Number.isNaN(atMs)) return undefined;
  const utc = new Date(atMs).toISOString();
  if (!/^\d{4}-/.test(utc)) return undefined;
  const fraction = digits.replace(/0+$/, '');
  return `${utc.slice(0, 19)}${fraction && `.${fraction}`}Z`;
}

/** `+02` and `+0200` as `+02:00`. */
function spelledOut(offset: string): string {
  return `${offset.slice(0, 3)}:${offset.slice(3).replace(':', '') || '00'}`;
}
