import type { z } from 'zod';
import { DefinitionError } from '../pipelines/definitionError.ts';
import type { FieldCursor, SqlType } from '../pipelines/manifest.ts';
import { defOf } from '../pipelines/schemaParts.ts';
import { columnTypeOf } from '../pipelines/sqlTypes.ts';
import type { Cursor } from './source.ts';
import { comparable, type FieldOrder } from './watermark.ts';

/** A cursor as the manifest has it: with the order of its values. Throws `DefinitionError`. */
export function describeFieldCursor({ field, parameter, initial }: Cursor, input: z.ZodType): FieldCursor {
  const order = orderOf(field, input);
  const first = initial === undefined ? undefined : comparable(order, initial);
  if (initial !== undefined && first === undefined) wrong('cursor.initial', `is no value of ${field}`);
  return { field, order, parameter, ...(first !== undefined && { initial: first }) };
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
