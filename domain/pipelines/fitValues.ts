import type { z } from 'zod';
import { isDoubleExact, plainDecimal, wholeNumber } from '../json/decimalText.ts';
import { ExactNumber } from '../json/parseExactJson.ts';
import { type RecordRejection, type RejectionCode, rejections } from '../runs/rejection.ts';
import { alternativesOf, checksOf, containers, defOf, formatsOf, partsOf } from './schemaParts.ts';

/**
 * Where a schema takes bigints and exact decimals, or makes numbers and dates of text. Formats give numbers as they can: JSON has
 * one kind of number, and Parquet gives every 64-bit integer as bigint. Their value must reach the schema unchanged, in the
 * type that it names; and what `z.coerce` would guess is rejected.
 */
export interface ExactFields {
  bigint: boolean;
  decimal: boolean;
  /** Takes a JavaScript number too, or anything. */
  number: boolean;
  /** What `z.coerce` makes of text, where nothing else is taken. */
  coerced: Coerced | undefined;
  /** Takes null, so that no coercion sees it. */
  null: boolean;
  fields: ReadonlyMap<string, ExactFields>;
  /** Of the items of an array and of the values that `fields` does not name. */
  rest: ExactFields | undefined;
}

type Coerced = 'number' | 'bigint' | 'date';

/** `undefined` where the schema has none of it, so that only inexact records need a look. */
export function exactFieldsOf(schema: z.core.$ZodType): ExactFields | undefined {
  return takesExact(schema, new Set()) ? collect([schema], new Map()) : undefined;
}

function takesExact(schema: z.core.$ZodType, seen: Set<z.core.$ZodType>): boolean {
  if (seen.has(schema)) return false;
  seen.add(schema);
  if (isDecimal(schema) || isBigint(schema) || coercionOf(schema)) return true;
  return partsOf(schema, '').some(([part]) => takesExact(part, seen));
}

function isDecimal(schema: z.core.$ZodType): boolean {
  const def = defOf(schema);
  return def.type === 'pipe' && formatsOf(defOf(def.out)).includes('decimal');
}

function isBigint(schema: z.core.$ZodType): boolean {
  const { type, values } = defOf(schema);
  return (
    type === 'bigint' || (type === 'literal' && values.some((value: unknown) => typeof value === 'bigint'))
  );
}

/** Also of text that a schema checks first, `z.string().regex(…).pipe(z.coerce.number())`, but does not change. */
function coercionOf(schema: z.core.$ZodType): Coerced | undefined {
  const def = defOf(schema);
  if (def.type !== 'pipe') return def.coerce && def.type !== 'string' ? (def.type as Coerced) : undefined;
  const first = defOf(def.in);
  const isText = first.type === 'string' && checksOf(first).every(({ check }) => check !== 'overwrite');
  return isText ? coercionOf(def.out) : coercionOf(def.in);
}

/** The alternatives of a union are one: what any of them takes exactly is kept exactly. */
function collect(schemas: readonly z.core.$ZodType[], made: Map<z.core.$ZodType, ExactFields>): ExactFields {
  const only = schemas.length === 1 ? schemas[0]! : undefined;
  const known = only && made.get(only);
  if (known) return known;
  const all = {
    ...{ bigint: false, decimal: false, number: false, null: false },
    ...{ coerced: undefined as Coerced | undefined, fields: new Map<string, ExactFields>() },
    rest: undefined as ExactFields | undefined,
  };
  if (only) made.set(only, all);
  const coercions = new Set<Coerced | undefined>();
  const named = new Map<string, z.core.$ZodType[]>();
  const rest: z.core.$ZodType[] = [];
  for (const schema of schemas.flatMap((one) => alternativesOf(one, isLeaf))) {
    const def = defOf(schema);
    if (takesNull.has(def.type) || (def.type === 'literal' && def.values.includes(null))) all.null = true;
    if (def.type === 'nullable' || def.type === 'null') continue;
    coercions.add(coercionOf(schema));
    if (isDecimal(schema)) all.decimal = true;
    else if (isBigint(schema)) all.bigint = true;
    else if (def.type === 'object') {
      for (const [name, field] of Object.entries<z.core.$ZodType>(def.shape))
        named.set(name, [...(named.get(name) ?? []), field]);
      if (def.catchall) rest.push(def.catchall);
    } else if (def.type === 'array') rest.push(def.element);
    else if (def.type === 'record') rest.push(def.valueType);
    else if (def.type === 'tuple') {
      (def.items as z.core.$ZodType[]).forEach((item, i) => {
        named.set(String(i), [...(named.get(String(i)) ?? []), item]);
      });
      if (def.rest) rest.push(def.rest);
    } else if (takesNumber.has(def.type)) all.number = true;
  }
  if (coercions.size === 1) [all.coerced] = coercions;
  for (const [name, parts] of named) if (needed(parts)) all.fields.set(name, collect(parts, made));
  if (needed(rest)) all.rest = collect(rest, made);
  return all;
}

function needed(schemas: readonly z.core.$ZodType[]): boolean {
  return schemas.some((schema) => takesExact(schema, new Set()));
}

const takesNumber: ReadonlySet<string> = new Set(
  'number literal enum any unknown custom transform'.split(' '),
);
const takesNull: ReadonlySet<string> = new Set('nullable null any unknown custom transform'.split(' '));

function isLeaf(schema: z.core.$ZodType): boolean {
  return containers.has(defOf(schema).type) || isDecimal(schema) || coercionOf(schema) !== undefined;
}

/**
 * Brings the numbers of a record, in place, into the types of its schema. Returns a rejection where a number or a time would
 * change its value (`NumberInexact`, `TimeInexact`, `OffsetMissing`), or where text is coerced that is no number.
 * @param inexact whether the record may hold numbers in other types than the schema’s at any place
 */
export function fitValues(
  record: object,
  fields: ExactFields | undefined,
  inexact: boolean,
): RecordRejection | undefined {
  return fitParts(record as Record<string, unknown>, fields, inexact, '');
}

function fitParts(
  parts: Record<string, unknown>,
  fields: ExactFields | undefined,
  inexact: boolean,
  path: string,
): RecordRejection | undefined {
  const names = inexact || fields?.rest ? Object.keys(parts) : (fields?.fields.keys() ?? []);
  for (const name of names) {
    if (!Object.hasOwn(parts, name)) continue;
    const part = parts[name];
    const of = fields && (fields.fields.get(name) ?? fields.rest);
    if (!inexact && !of) continue;
    const code = of?.coerced && whyNotCoerced(of, of.coerced, part);
    if (code) return rejection(code, path + name);
    if (typeof part === 'object' && part !== null && !(part instanceof ExactNumber)) {
      const wrong = fitParts(part as Record<string, unknown>, of, inexact, `${path}${name}.`);
      if (wrong) return wrong;
    } else if (typeof part === 'number' || typeof part === 'bigint' || part instanceof ExactNumber) {
      const fitted = fitNumber(part, of);
      if (fitted === undefined) return rejection('NumberInexact', path + name);
      if (fitted !== part) set(parts, name, fitted);
    }
  }
  return undefined;
}

function rejection(code: RejectionCode, path: string): RecordRejection {
  const message = code === 'SchemaMismatch' ? 'Not a number.' : rejections[code];
  return { code, path: path.slice(0, 256), message };
}

function set(parts: object, name: string, value: unknown): void {
  Object.defineProperty(parts, name, { value, enumerable: true, writable: true, configurable: true });
}

/** `undefined` where the value would change. */
function fitNumber(
  value: number | bigint | ExactNumber,
  { bigint, decimal, number }: Pick<ExactFields, 'bigint' | 'decimal' | 'number'> = plainNumber,
): number | bigint | string | undefined {
  if (typeof value === 'number') {
    if (!bigint || number || !Number.isInteger(value)) return value;
    // A double beyond 2^53 stands for the shortest decimal that reads as it.
    return Number.isSafeInteger(value) ? BigInt(value) : wholeNumber(String(value));
  }
  if (value instanceof ExactNumber)
    return decimal ? plainDecimal(value.text) : bigint ? wholeNumber(value.text) : undefined;
  const isSafe = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
  if (isSafe && (number || !(bigint || decimal))) return Number(value);
  return bigint || decimal ? value : undefined;
}

const plainNumber = { bigint: false, decimal: false, number: true };

/** `z.coerce` makes 0 of blanks, null and false, 16 of `0x10`, 1 of `true`, and takes dates for local times. */
function whyNotCoerced(of: ExactFields, coerced: Coerced, value: unknown): RejectionCode | undefined {
  if (value === undefined || (value === null && of.null)) return undefined;
  if (coerced === 'date') return typeof value === 'string' ? wrongTime(value) : undefined;
  if (typeof value === 'number' || typeof value === 'bigint' || value instanceof ExactNumber)
    return undefined;
  if (typeof value !== 'string') return 'SchemaMismatch';
  if (coerced === 'bigint') return /^-?\d{1,1000}$/.test(value) ? undefined : 'SchemaMismatch';
  if (!/^-?\d{1,400}(?:\.\d{1,400})?$/.test(value)) return 'SchemaMismatch';
  return isDoubleExact(value) ? undefined : 'NumberInexact';
}

const dateTime = /^[+-]?\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.(\d+))?)?(.*)$/i;

/** Without an offset the time zone of the worker would become part of the value; a `Date` knows milliseconds only. */
function wrongTime(text: string): 'TimeInexact' | 'OffsetMissing' | undefined {
  const [, fraction = '', offset] = dateTime.exec(text) ?? [];
  if (offset === '') return 'OffsetMissing';
  return fraction.replace(/0+$/, '').length > 3 ? 'TimeInexact' : undefined;
}
