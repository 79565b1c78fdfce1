import type { z } from 'zod';
import { DefinitionError } from '../pipelines/definitionError.ts';
import type { SourceManifest, SqlType } from '../pipelines/manifest.ts';
import { defOf } from '../pipelines/schemaParts.ts';
import { columnTypeOf } from '../pipelines/sqlTypes.ts';
import type { Source } from './source.ts';
import { comparable, type FieldOrder } from './watermark.ts';

/** A source as the manifest has it: with how the values of its cursor follow one another. Throws `DefinitionError`. */
export function withCursor(source: Source, input: z.ZodType): SourceManifest {
  if (source.kind !== 'http' || !source.cursor) return source as SourceManifest;
  const { field, parameter, initial } = source.cursor;
  const order = orderOf(field, input);
  if (source.url && new URL(source.url).searchParams.has(parameter))
    wrong('url', `holds “${parameter}” already, which the cursor sets`);
  const first = initial === undefined ? undefined : comparable(order, initial);
  if (initial !== undefined && first === undefined) wrong('cursor.initial', `is no value of ${field}`);
  return { ...source, cursor: { field, order, parameter, ...(first !== undefined && { initial: first }) } };
}

const orders: Partial<Record<SqlType, FieldOrder>> = {
  timestamptz: 'instant',
  date: 'date',
  integer: 'integer',
  bigint: 'integer',
};

function orderOf(field: string, input: z.ZodType): FieldOrder {
  const { type, shape } = defOf(input);
  const schema: z.ZodType | undefined =
    type === 'object' && Object.hasOwn(shape, field) ? shape[field] : undefined;
  if (!schema) return wrong('cursor.field', `names “${field}”, which is not a field of the input`);
  const kind = columnTypeOf(schema, field);
  const order = kind.type ? orders[kind.type] : undefined;
  if (!order)
    return wrong(
      'cursor.field',
      `names “${field}”, which is no date-time with offset, date or whole number, so nothing says what comes later`,
    );
  if (kind.nullable) return wrong('cursor.field', `names “${field}”, which may be missing or null`);
  return order;
}

function wrong(path: string, message: string): never {
  throw new DefinitionError('source', [{ path, message }]);
}
