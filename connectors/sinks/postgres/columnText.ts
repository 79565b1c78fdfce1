import { plainDecimal } from '../../../domain/json/decimalText.ts';
import { ExactNumber, writeExactJson } from '../../../domain/json/parseExactJson.ts';
import type { SqlType } from '../../../domain/pipelines/manifest.ts';
import type { RejectionCode } from '../../../domain/runs/rejection.ts';
import { inspect, inspectText } from '../../formats/ndjson/readJson.ts';

/** Why PostgreSQL would refuse a value, found here so that it costs one record and not the batch. */
export interface Unstorable {
  code: RejectionCode;
  /** Inside a `jsonb` column. */
  path?: string;
}

/**
 * The text by which PostgreSQL reads a value of a column, `null` for NULL. Equal values of one type have equal
 * texts, so that a key is compared by its text. Ranges are PostgreSQL’s where the schema’s are wider.
 */
export function columnText(type: SqlType, value: unknown): string | null | Unstorable {
  return value === null || value === undefined ? null : writers[type](value);
}

const mismatch: Unstorable = Object.freeze({ code: 'OutputMismatch' });

const writers: Record<SqlType, (value: unknown) => string | null | Unstorable> = {
  text: (value) => (typeof value === 'string' ? checked(value) : mismatch),
  integer: (value) => integer(value, 2 ** 31),
  bigint: (value) => integer(value, 2 ** 63),
  numeric: (value) => {
    if (typeof value !== 'bigint' && typeof value !== 'number' && typeof value !== 'string') return mismatch;
    return plainDecimal(String(value), typeof value === 'string' ? 1_000 : numericDigitsMax) ?? mismatch;
  },
  'double precision': (value) => (typeof value === 'number' ? number(value) : mismatch),
  boolean: (value) => (value === true ? 't' : value === false ? 'f' : mismatch),
  timestamptz,
  date: (value) => (typeof value === 'string' && isDate.test(value) && hasYear(value) ? value : mismatch),
  time,
  uuid: (value) => (typeof value === 'string' && isUuid.test(value) ? value.toLowerCase() : mismatch),
  jsonb,
};

/** PostgreSQL’s bound before the point. */
const numericDigitsMax = 131_072;
const isDate = /^\d{4}-\d\d-\d\d$/;
const isUuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function checked(text: string): string | Unstorable {
  const code = inspectText(text);
  return code ? { code } : text;
}

/** @param bound a power of two, so that comparing it with a bigint is exact too */
function integer(value: unknown, bound: number): string | Unstorable {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) return mismatch;
  } else if (typeof value !== 'bigint') return mismatch;
  return value >= -bound && value < bound ? number(value) : mismatch;
}

/** Without a negative zero. */
function number(value: number | bigint): string {
  return value === 0 ? '0' : String(value);
}

/** PostgreSQL’s years begin at 1. */
function hasYear(text: string): boolean {
  return !text.startsWith('0000');
}

const minMs = Date.parse('0001-01-01T00:00:00Z');
const maxMs = Date.parse('9999-12-31T23:59:59.999Z');
const instant = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)$/;

const tooFine: Unstorable = Object.freeze({ code: 'TimeInexact' });

/** Digits of a second without zeros at the end; `undefined` for more than six, which PostgreSQL would round. */
function microseconds(fraction: string): string | undefined {
  const digits = fraction.replace(/0+$/, '');
  return digits.length > 6 ? undefined : digits;
}

/** In UTC with three digits of a second, up to six where there are more. */
function timestamptz(value: unknown): string | Unstorable {
  if (value instanceof Date) {
    const ms = value.getTime();
    return ms >= minMs && ms <= maxMs ? value.toISOString() : mismatch;
  }
  if (typeof value !== 'string') return mismatch;
  // The two common forms need no arithmetic.
  if (value.endsWith('Z') && hasYear(value)) {
    if (value.length === 24 && value[19] === '.') return value;
    if (value.length === 20 && value[16] === ':') return `${value.slice(0, 19)}.000Z`;
  }
  const [, minute, second = '00', fraction = '', offset] = instant.exec(value) ?? [];
  const ms = Date.parse(`${minute}:${second}${offset}`);
  if (!(ms >= minMs && ms <= maxMs)) return mismatch;
  const digits = microseconds(fraction);
  if (digits === undefined) return tooFine;
  return `${new Date(ms).toISOString().slice(0, 19)}.${digits.padEnd(3, '0')}Z`;
}

const clock = /^(\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?$/;

function time(value: unknown): string | Unstorable {
  const found = typeof value === 'string' ? clock.exec(value) : null;
  if (!found) return mismatch;
  const [, minute, second = '00', fraction = ''] = found;
  const digits = microseconds(fraction);
  if (digits === undefined) return tooFine;
  return `${minute}:${second}${digits && `.${digits}`}`;
}

/** Escapes in which a character could hide that `jsonb` refuses. */
const suspicious = /\\u(?:0000|d[89a-f])/;
const depthMax = 64;

function jsonb(value: unknown): string | null | Unstorable {
  let isExact = false;
  if (!isPlainJson(value, 0)) {
    const shape = new JsonShape();
    const unfit = shape.check(value, 0);
    if (unfit) return unfit;
    isExact = shape.isExact;
  }
  const text = isExact ? writeExactJson(value) : JSON.stringify(value);
  const code = suspicious.test(text) && inspect(JSON.parse(text));
  return code ? { code } : text;
}

/** What nearly every value is: `JSON.stringify` loses nothing of it. A circle is deeper than the bound. */
function isPlainJson(value: unknown, depth: number): boolean {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || depth >= depthMax) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isPlainJson(value[i], depth + 1)) return false;
    return true;
  }
  if (!isPlain(value)) return false;
  for (const name in value)
    if (!isPlainJson((value as Record<string, unknown>)[name], depth + 1)) return false;
  return true;
}

/** `JSON.stringify` writes null, `{}` or nothing for much that a transform can return; here that is a rejection. */
class JsonShape {
  /** Holds numbers that only `writeExactJson` writes. */
  isExact = false;
  readonly #ancestors: object[] = [];
  readonly #path: (string | number)[] = [];

  check(value: unknown, depth: number): Unstorable | undefined {
    if (typeof value === 'number') return Number.isFinite(value) ? undefined : this.#wrong('NotJson');
    if (typeof value === 'bigint') {
      this.isExact = true;
      return value.toString().length > numericDigitsMax ? this.#wrong('NotJson') : undefined;
    }
    if (typeof value !== 'object' || value === null)
      return value === null || typeof value === 'string' || typeof value === 'boolean'
        ? undefined
        : this.#wrong('NotJson');
    if (value instanceof ExactNumber) {
      this.isExact = true;
      return plainDecimal(value.text, numericDigitsMax) === undefined ? this.#wrong('NotJson') : undefined;
    }
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? this.#wrong('NotJson') : undefined;
    if (depth >= depthMax) return this.#wrong('TooDeep');
    const isArray = Array.isArray(value);
    if (!(isArray || isPlain(value)) || this.#ancestors.includes(value)) return this.#wrong('NotJson');
    this.#ancestors.push(value);
    // By index, since a gap is no key.
    const unfit = isArray ? this.#checkItems(value, depth) : this.#checkFields(value, depth);
    this.#ancestors.pop();
    return unfit;
  }

  #checkItems(items: readonly unknown[], depth: number): Unstorable | undefined {
    for (let i = 0; i < items.length; i++) {
      const unfit = this.#checkPart(i, items[i], depth);
      if (unfit) return unfit;
    }
    return undefined;
  }

  #checkFields(fields: object, depth: number): Unstorable | undefined {
    for (const [name, part] of Object.entries(fields)) {
      // A field that is undefined is a field that is not there.
      const unfit = part === undefined ? undefined : this.#checkPart(name, part, depth);
      if (unfit) return unfit;
    }
    return undefined;
  }

  #checkPart(name: string | number, part: unknown, depth: number): Unstorable | undefined {
    this.#path.push(name);
    const unfit = this.check(part, depth + 1);
    this.#path.pop();
    return unfit;
  }

  #wrong(code: RejectionCode): Unstorable {
    return { code, path: this.#path.join('.') };
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
