import type { z } from 'zod';
import { DefinitionError } from './definitionError.ts';
import type { Column, SqlType } from './manifest.ts';
import { checksOf, type Def, defOf, formatsOf, partsOf } from './schemaParts.ts';

/**
 * The columns of a table that holds what a strict object schema returns, in the order of its fields. The mapping is
 * total: a schema that has no certain SQL type throws `DefinitionError` with the path of the field, at load.
 * `docs/pipelines.md` holds the table. A column may be NULL where the field may be null, undefined or absent.
 */
export function columnsOf(row: z.ZodType): Column[] {
  const def = defOf(row);
  if (def.type !== 'object') fail('', 'must be an object schema: z.strictObject({ … })');
  return Object.entries<z.core.$ZodType>(def.shape).map(([name, schema]) => {
    checkName(name);
    const { type, nullable, optional } = kindOf(schema, name, 0);
    if (!type) fail(name, 'holds nothing but null, so it has no SQL type. Leave it out');
    return { name, type, nullable: nullable || optional };
  });
}

/** The SQL type of what a schema returns, and whether it may be null or missing. Throws `DefinitionError` where it has none. */
export function columnTypeOf(
  schema: z.core.$ZodType,
  path: string,
): { type: SqlType | null; nullable: boolean } {
  const { type, nullable, optional } = kindOf(schema, path, 0);
  return { type, nullable: nullable || optional };
}

/** What a schema returns: `null` for the type where the only values are null and undefined. */
interface Kind {
  type: SqlType | null;
  nullable: boolean;
  optional: boolean;
}

const plain = (type: SqlType): Kind => ({ type, nullable: false, optional: false });

function kindOf(schema: z.core.$ZodType, path: string, depth: number): Kind {
  if (depth > 64) fail(path, 'refers to itself without an object in between');
  const def = defOf(schema);
  const inner = (next: z.core.$ZodType = def.innerType): Kind => kindOf(next, path, depth + 1);
  switch (def.type) {
    case 'string':
      return plain(stringType(def));
    case 'number':
      return plain(numberType(def));
    case 'bigint':
      return plain(formatsOf(def).includes('int64') ? 'bigint' : 'numeric');
    case 'boolean':
    case 'success':
      return plain('boolean');
    case 'date':
      return plain('timestamptz');
    case 'template_literal':
      return plain('text');
    case 'literal':
      return valuesKind(def.values, path);
    case 'enum':
      // A TypeScript enum of numbers also lists its names, which are not values; the schema knows the values.
      return valuesKind([...(schema._zod.values ?? Object.values(def.entries))], path);
    case 'null':
      return { type: null, nullable: true, optional: false };
    case 'undefined':
    case 'void':
      return { type: null, nullable: false, optional: true };
    case 'any':
    case 'unknown':
      return { type: 'jsonb', nullable: true, optional: true };
    case 'object':
    case 'array':
    case 'tuple':
    case 'record':
      checkJson(schema, path, new Set());
      return plain('jsonb');
    case 'optional':
      return { ...inner(), optional: true };
    case 'nullable':
      return { ...inner(), nullable: true };
    case 'default':
    case 'prefault':
    case 'nonoptional':
      return { ...inner(), optional: false };
    case 'catch':
    case 'readonly':
      return inner();
    case 'pipe':
      return inner(def.out);
    case 'lazy':
      return inner(def.getter());
    case 'union':
      return unionKind(schema, def.options.map(inner), path);
    case 'intersection':
      return intersectionKind(inner(def.left), inner(def.right), path);
    default:
      return fail(path, unmappable[def.type] ?? `z.${def.type}() has no SQL type`);
  }
}

const unmappable: Readonly<Record<string, string>> = {
  transform: 'a transform may return anything. Say what it returns: .transform(…).pipe(z.int())',
  custom: 'a custom schema may return anything. Say what it returns: .pipe(z.string())',
};

function stringType(def: Def): SqlType {
  const formats = formatsOf(def);
  if (formats.includes('date')) return 'date';
  if (formats.includes('time')) return 'time';
  if (formats.includes('decimal')) return 'numeric';
  if (formats.includes('uuid') || formats.includes('guid')) return 'uuid';
  // A local date-time names no instant: storing it as one would make the reader’s time zone part of the data.
  return formats.includes('datetime') && !allowsLocal(def) ? 'timestamptz' : 'text';
}

function allowsLocal(def: Def): boolean {
  return [def, ...checksOf(def)].some((d) => d.format === 'datetime' && d.local === true);
}

function numberType(def: Def): SqlType {
  const formats = formatsOf(def);
  if (formats.includes('int32')) return 'integer';
  return formats.includes('safeint') || formats.includes('uint32') ? 'bigint' : 'double precision';
}

function valuesKind(values: readonly unknown[], path: string): Kind {
  const types = new Set<SqlType>();
  for (const value of values) {
    if (typeof value === 'string') types.add('text');
    else if (typeof value === 'boolean') types.add('boolean');
    else if (typeof value === 'bigint') types.add('numeric');
    else if (typeof value === 'number')
      types.add(Number.isSafeInteger(value) ? 'bigint' : 'double precision');
  }
  if (types.has('bigint') && types.delete('double precision')) {
    types.delete('bigint');
    types.add('double precision');
  }
  if (types.size > 1 && types.has('numeric')) fail(path, 'mixes bigint with other values');
  const [only = null] = types;
  return {
    type: types.size > 1 ? 'jsonb' : only,
    nullable: values.includes(null),
    optional: values.includes(undefined),
  };
}

function unionKind(schema: z.core.$ZodType, kinds: Kind[], path: string): Kind {
  const types = new Set(kinds.flatMap((k) => (k.type ? [k.type] : [])));
  if (types.size > 1) checkJson(schema, path, new Set());
  const [only = null] = types;
  return {
    type: types.size > 1 ? 'jsonb' : only,
    nullable: kinds.some((k) => k.nullable),
    optional: kinds.some((k) => k.optional),
  };
}

function intersectionKind(left: Kind, right: Kind, path: string): Kind {
  if (left.type !== right.type) fail(path, 'is an intersection of different SQL types');
  return {
    type: left.type,
    nullable: left.nullable && right.nullable,
    optional: left.optional && right.optional,
  };
}

/** Whether everything inside a jsonb column has a JSON form: dates become RFC 3339 text, bigints numbers of any length. */
function checkJson(schema: z.core.$ZodType, path: string, seen: Set<z.core.$ZodType>): void {
  if (seen.has(schema)) return;
  seen.add(schema);
  const def = defOf(schema);
  const parts = partsOf(schema, path);
  if (parts.length === 0 && !jsonLeaves.has(def.type))
    fail(path, unmappable[def.type] ?? `z.${def.type}() has no JSON form`);
  // What a pipe takes in is not what it returns.
  for (const [part, at] of parts) if (def.type !== 'pipe' || part === def.out) checkJson(part, at, seen);
}

const jsonLeaves: ReadonlySet<string> = new Set(
  'string number bigint boolean date null undefined void any unknown never enum literal template_literal success object array tuple'.split(
    ' ',
  ),
);

/** PostgreSQL’s own column names, which no table can use again. */
const systemColumns: ReadonlySet<string> = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid']);

/** PostgreSQL cuts identifiers off at 63 bytes, silently; names that begin with `_` are Waybill’s own columns. */
function checkName(name: string): void {
  const sizeBytes = new TextEncoder().encode(name).length;
  if (sizeBytes < 1 || sizeBytes > 63) fail(name, 'a column name has 1 to 63 bytes');
  if (name.startsWith('_')) fail(name, 'names that begin with _ are Waybill’s own');
  if (systemColumns.has(name)) fail(name, 'is a column that PostgreSQL keeps for itself');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(name)) fail(name, 'holds a control character');
}

function fail(path: string, message: string): never {
  throw new DefinitionError('output', [{ path, message }]);
}
