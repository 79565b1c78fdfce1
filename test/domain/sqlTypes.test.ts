import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { decimal } from '../../domain/pipelines/decimal.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import { columnsOf } from '../../domain/pipelines/sqlTypes.ts';
import { text } from '../../domain/pipelines/textSchemas.ts';

/** The table of `docs/pipelines.md`, case by case: `?` marks a column that may be NULL. */
const mapped: [string, z.ZodType, string][] = [
  ['string', z.string().min(2).max(9), 'text'],
  ['email', z.email(), 'text'],
  ['template literal', z.templateLiteral(['a-', z.int()]), 'text'],
  ['date-time', z.iso.datetime(), 'timestamptz'],
  ['date-time with offset', z.iso.datetime({ offset: true }), 'timestamptz'],
  ['date-time by check', z.string().check(z.iso.datetime()), 'timestamptz'],
  ['local date-time', z.iso.datetime({ local: true }), 'text'],
  ['date', z.iso.date(), 'date'],
  ['time', z.iso.time(), 'time'],
  ['duration', z.iso.duration(), 'text'],
  ['uuid', z.uuid(), 'uuid'],
  ['uuid version 7', z.uuidv7(), 'uuid'],
  ['guid', z.guid(), 'uuid'],
  ['int32', z.int32(), 'integer'],
  ['uint32', z.uint32(), 'bigint'],
  ['int', z.int().min(0), 'bigint'],
  ['number().int()', z.number().int(), 'bigint'],
  ['number', z.number(), 'double precision'],
  ['float32', z.float32(), 'double precision'],
  ['coerced number', z.coerce.number(), 'double precision'],
  ['int64', z.int64(), 'bigint'],
  ['uint64', z.uint64(), 'numeric'],
  ['bigint', z.bigint(), 'numeric'],
  ['boolean', z.boolean(), 'boolean'],
  ['stringbool', z.stringbool(), 'boolean'],
  ['js date', z.date(), 'timestamptz'],
  ['coerced date', z.coerce.date(), 'timestamptz'],
  ['enum', z.enum(['a', 'b']), 'text'],
  ['numeric enum', z.enum({ Low: 1, High: 2 }), 'bigint'],
  ['typescript enum of numbers', z.enum({ 0: 'Low', Low: 0 } as const), 'bigint'],
  ['string literals', z.literal(['a', 'b']), 'text'],
  ['number literals', z.literal([1, 2]), 'bigint'],
  ['fraction literals', z.literal([1, 2.5]), 'double precision'],
  ['boolean literal', z.literal(true), 'boolean'],
  ['bigint literal', z.literal(5n), 'numeric'],
  ['mixed literals', z.literal(['a', 1]), 'jsonb'],
  ['literal or null', z.literal(['a', null]), 'text?'],
  ['object', z.strictObject({ a: z.string() }), 'jsonb'],
  ['object with a date inside', z.strictObject({ at: z.date() }), 'jsonb'],
  ['array', z.array(z.string()), 'jsonb'],
  ['bigint inside', z.strictObject({ deep: z.array(z.bigint()) }), 'jsonb'],
  ['bigint literal inside', z.strictObject({ deep: z.literal(1n) }), 'jsonb'],
  ['bigint in a union of different', z.union([z.string(), z.bigint()]), 'jsonb'],
  ['decimal', decimal(12, 2), 'numeric'],
  ['decimal or null', decimal(12, 2).nullable(), 'numeric?'],
  ['decimal of text', text.decimal(12, 2), 'numeric'],
  ['integer of text', text.integer(), 'bigint'],
  ['64-bit integer of text', text.int64(), 'bigint'],
  ['number of text', text.number(), 'double precision'],
  ['boolean of text', text.boolean(), 'boolean'],
  ['instant of text', text.timestamp(), 'timestamptz'],
  ['day of text', text.date(), 'date'],
  ['tuple', z.tuple([z.string(), z.number()]), 'jsonb'],
  ['record', z.record(z.string(), z.number()), 'jsonb'],
  ['json', z.json(), 'jsonb?'],
  ['any', z.any(), 'jsonb?'],
  ['unknown', z.unknown(), 'jsonb?'],
  [
    'recursive',
    z.strictObject({
      get next() {
        return z.nullable(z.strictObject({ a: z.string() }));
      },
    }),
    'jsonb',
  ],
  ['union of the same', z.union([z.email(), z.literal('none')]), 'text'],
  ['union of instants', z.union([z.date(), z.iso.datetime()]), 'timestamptz'],
  ['union of different', z.union([z.string(), z.number()]), 'jsonb'],
  ['union with null', z.union([z.string(), z.null()]), 'text?'],
  ['union with undefined', z.union([z.int32(), z.undefined()]), 'integer?'],
  [
    'discriminated union',
    z.discriminatedUnion('k', [z.strictObject({ k: z.literal('a') }), z.strictObject({ k: z.literal('b') })]),
    'jsonb',
  ],
  [
    'intersection',
    z.intersection(z.looseObject({ a: z.string() }), z.looseObject({ b: z.string() })),
    'jsonb',
  ],
  ['optional', z.string().optional(), 'text?'],
  ['nullable', z.int32().nullable(), 'integer?'],
  ['nullish', z.date().nullish(), 'timestamptz?'],
  ['default', z.string().default('x'), 'text'],
  ['default of an optional', z.string().optional().default('x'), 'text'],
  ['default of a nullable', z.string().nullable().default('x'), 'text?'],
  ['prefault', z.string().prefault('x'), 'text'],
  ['nonoptional', z.string().optional().nonoptional(), 'text'],
  ['catch', z.int32().catch(0), 'integer'],
  ['readonly', z.string().readonly(), 'text'],
  ['brand', z.string().brand('id'), 'text'],
  ['lazy', z.lazy(() => z.uuid()), 'uuid'],
  ['pipe', z.string().pipe(z.coerce.number()).pipe(z.int32()), 'integer'],
  [
    'transform and pipe',
    z
      .string()
      .transform((s) => s.length)
      .pipe(z.int()),
    'bigint',
  ],
  ['preprocess', z.preprocess((v) => v, z.uuid()), 'uuid'],
  [
    'codec',
    z.codec(z.string(), z.date(), { decode: (s) => new Date(s), encode: (d) => d.toISOString() }),
    'timestamptz',
  ],
  ['refined', z.string().refine((s) => s !== 'x'), 'text'],
];

/** No type is certain: the path of the field must be in the error. */
const refused: [string, z.ZodType, string][] = [
  ['bare transform', z.string().transform((s) => s.length), 'field'],
  ['custom', z.custom<string>(), 'field'],
  ['instanceof', z.instanceof(Uint8Array), 'field'],
  ['map', z.map(z.string(), z.string()), 'field'],
  ['set', z.set(z.string()), 'field'],
  ['symbol', z.symbol(), 'field'],
  ['promise', z.promise(z.string()), 'field'],
  ['file', z.file(), 'field'],
  ['nan', z.nan(), 'field'],
  ['never', z.never(), 'field'],
  ['null alone', z.null(), 'field'],
  ['undefined alone', z.undefined(), 'field'],
  ['set inside', z.tuple([z.string(), z.set(z.string())]), 'field[1]'],
  ['transform inside', z.record(z.string(), z.string().transform(Number)), 'field.*'],
  ['literals with a bigint', z.literal(['a', 1n]), 'field'],
  ['intersection of different', z.intersection(z.string(), z.number()), 'field'],
  [
    'itself',
    z.lazy(function self(): z.ZodType {
      return z.lazy(self);
    }),
    'field',
  ],
];

describe('the SQL type of a schema', () => {
  for (const [name, schema, expected] of mapped) {
    test(`${name} is ${expected}`, () => {
      const [column] = columnsOf(z.strictObject({ field: schema }));
      assert.equal(column && column.type + (column.nullable ? '?' : ''), expected);
    });
  }

  for (const [name, schema, path] of refused) {
    test(`${name} is refused at ${path}`, () => {
      assert.throws(
        () => columnsOf(z.strictObject({ field: schema })),
        (error) => error instanceof DefinitionError && error.issues[0]?.path === path,
      );
    });
  }

  test('columns keep the order of the fields', () => {
    const columns = columnsOf(z.strictObject({ z: z.string(), a: z.int32(), 'Cost Total $': z.number() }));
    assert.deepEqual(
      columns.map((c) => c.name),
      ['z', 'a', 'Cost Total $'],
    );
  });

  for (const name of ['', '_tenant', 'xmin', 'a\nb', 'ä'.repeat(32)]) {
    test(`a column cannot be called ${JSON.stringify(name)}`, () => {
      assert.throws(() => columnsOf(z.strictObject({ [name]: z.string() })), { code: 'DefinitionInvalid' });
    });
  }
});
