import type { z } from 'zod';
import { alternativesOf, containers, defOf } from './schemaParts.ts';

/** What becomes of fields that a strict object of the input does not name. */
export const unknownFieldsChoices = ['reject', 'keep', 'drop'] as const;
export type UnknownFields = (typeof unknownFieldsChoices)[number];

/** The column of the fields that were kept, of each row of their record. */
export const extraColumn = '_extra';

/**
 * Which fields a schema names, at each place where it takes an object or an array. Of a union a field is known if one of the
 * alternatives names it: what only another alternative takes is not unknown, and stays a rejection.
 */
export interface KnownFields {
  /** The schema takes any other field, as `z.looseObject`, `z.record` and `z.unknown` do. */
  open: boolean;
  /** By name, or by index of a tuple; `undefined` where nothing below can be unknown. */
  fields: ReadonlyMap<string, KnownFields | undefined>;
  /** Of items of an array and of fields that an open object takes. */
  rest: KnownFields | undefined;
}

export function knownFieldsOf(schema: z.core.$ZodType): KnownFields {
  return collect([schema], new Map())!;
}

type Made = Map<z.core.$ZodType, KnownFields>;

function collect(schemas: readonly z.core.$ZodType[], made: Made): KnownFields | undefined {
  const only = schemas.length === 1 ? schemas[0]! : undefined;
  const before = only && made.get(only);
  if (before) return before;
  const fields = new Map<string, KnownFields | undefined>();
  const known: KnownFields = { open: false, fields, rest: undefined };
  if (only) made.set(only, known);
  const named = new Map<string, z.core.$ZodType[]>();
  const rest: z.core.$ZodType[] = [];
  let isContainer = false;
  for (const schema of schemas.flatMap((one) => alternativesOf(one))) {
    const def = defOf(schema);
    const name = (key: string, part: z.core.$ZodType) => named.set(key, [...(named.get(key) ?? []), part]);
    if (takesAnything.has(def.type)) known.open = true;
    if (!containers.has(def.type)) continue;
    isContainer = true;
    if (def.type === 'object') {
      for (const [key, part] of Object.entries<z.core.$ZodType>(def.shape)) name(key, part);
      if (def.catchall?._zod.def.type === 'never') continue;
      known.open = true;
      if (def.catchall) rest.push(def.catchall);
    } else if (def.type === 'record') {
      known.open = true;
      rest.push(def.valueType);
    } else if (def.type === 'array') rest.push(def.element);
    else {
      (def.items as z.core.$ZodType[]).forEach((item, i) => {
        name(String(i), item);
      });
      if (def.rest) rest.push(def.rest);
    }
  }
  if (!isContainer) return undefined;
  for (const [key, parts] of named) fields.set(key, collect(parts, made));
  if (rest.length > 0) known.rest = collect(rest, made);
  return known;
}

const takesAnything: ReadonlySet<string> = new Set(['any', 'unknown', 'custom', 'transform']);

/**
 * Takes the unknown fields out of a record, in place. `extra` holds them where they stood: `{ address: { zip2: … } }`, and those of an
 * item of an array under its index; it is `undefined` where there are none.
 */
export function takeUnknownFields(
  record: object,
  known: KnownFields,
): { count: number; extra: Record<string, unknown> | undefined } {
  const taker = new Taker();
  const extra = taker.take(record as Record<string, unknown>, known);
  return { count: taker.count, extra };
}

class Taker {
  count = 0;

  take(value: Record<string, unknown>, known: KnownFields): Record<string, unknown> | undefined {
    const isArray = Array.isArray(value);
    let extra: Record<string, unknown> | undefined;
    for (const name of Object.keys(value)) {
      const part = value[name];
      let found: unknown;
      if (known.open || isArray || known.fields.has(name)) {
        const below = known.fields.get(name) ?? (known.fields.has(name) ? undefined : known.rest);
        if (!below || typeof part !== 'object' || part === null) continue;
        found = this.take(part as Record<string, unknown>, below);
        if (found === undefined) continue;
      } else {
        found = part;
        this.count++;
        delete value[name];
      }
      extra ??= {};
      extra[name] = found;
    }
    return extra;
  }
}
