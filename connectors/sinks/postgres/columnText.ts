import type { SqlType } from '../../../domain/pipelines/manifest.ts';
import type { RejectionCode } from '../../../domain/runs/rejection.ts';
import { inspect, inspectText } from '../../formats/ndjson/readJson.ts';

/** Why PostgreSQL would refuse a value, found here so that it costs one record and not the batch. */
export interface Unstorable {
  code: RejectionCode;
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
  integer: (value) => integer(value, 2n ** 31n),
  bigint: (value) => integer(value, 2n ** 63n),
  numeric: (value) => {
    if (typeof value !== 'bigint' && typeof value !== 'number') return mismatch;
    const text = number(value);
    return text.length > numericDigitsMax ? mismatch : text;
  },
  'double precision': (value) => (typeof value === 'number' ? number(value) : mismatch),
  boolean: (value) => (value === true ? 't' : value === false ? 'f' : mismatch),
  timestamptz,
  date: (value) => (typeof value === 'string' && isDate.test(value) && hasYear(value) ? value : mismatch),
  time,
  uuid: (value) => (typeof value === 'string' && isUuid.test(value) ? value.toLowerCase() : mismatch),
  jsonb,
};

const numericDigitsMax = 131_072;
const isDate = /^\d{4}-\d\d-\d\d$/;
const isUuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function checked(text: string): string | Unstorable {
  const code = inspectText(text);
  return code ? { code } : text;
}

function integer(value: unknown, bound: bigint): string | Unstorable {
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

/** In UTC with three digits of a second, up to six where there are more; PostgreSQL keeps no more. */
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
  const digits = fraction.slice(0, 6).replace(/0+$/, '').padEnd(3, '0');
  return `${new Date(ms).toISOString().slice(0, 19)}.${digits}Z`;
}

const clock = /^(\d\d:\d\d)(?::(\d\d)(?:\.(\d+))?)?$/;

function time(value: unknown): string | Unstorable {
  const found = typeof value === 'string' ? clock.exec(value) : null;
  if (!found) return mismatch;
  const [, minute, second = '00', fraction = ''] = found;
  const digits = fraction.slice(0, 6).replace(/0+$/, '');
  return `${minute}:${second}${digits && `.${digits}`}`;
}

/** Escapes in which a character could hide that `jsonb` refuses. */
const suspicious = /\\u(?:0000|d[89a-f])/;

function jsonb(value: unknown): string | null | Unstorable {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    return mismatch; // A bigint or a circle.
  }
  if (text === undefined) return null;
  const code = suspicious.test(text) && inspect(JSON.parse(text));
  return code ? { code } : text;
}
