import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { csv, decimal, definePipeline, ndjson, postgres, rowDigest, text, upload } from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';

function pipelineOf(fields: z.core.$ZodShape, format: Parameters<typeof upload>[0] = ndjson()) {
  return definePipeline({
    id: 'values',
    source: upload(format),
    input: z.strictObject(fields),
    sink: postgres({ table: 'values', key: rowDigest() }),
  } as never) as never;
}

/** The rows, and the rejections as code and path. */
async function run(fields: z.core.$ZodShape, lines: string, format?: Parameters<typeof upload>[0]) {
  const { stored, rejected, counts } = await testPipeline(pipelineOf(fields, format), lines);
  assert.equal(counts.read, counts.passed + counts.filtered + counts.rejected);
  return { stored, rejected: rejected.map(({ code, path }) => [code, path]), counts };
}

const huge = '9007199254740993';

describe('numbers of JSON', () => {
  it('are kept as the schema says, each digit of them', async () => {
    const { stored, rejected } = await run(
      {
        id: z.int64(),
        big: z.bigint().nullable().optional(),
        amount: decimal(30, 10).optional(),
        deep: z.array(z.strictObject({ id: z.bigint() })).optional(),
      },
      [
        '{"id":9007199254740992}',
        `{"id":${huge}}`,
        `{"id":-9223372036854775808,"big":123456789012345678901234567890,"amount":12345678901234567890.123456789}`,
        '{"id":1,"big":null,"amount":"0012.500","deep":[{"id":9007199254740993},{"id":2}]}',
        '{"id":1.0e3,"amount":1.5e3}',
      ].join('\n'),
    );
    assert.deepEqual(rejected, []);
    assert.deepEqual(stored, [
      { id: 9007199254740992n },
      { id: 9007199254740993n },
      { id: -(2n ** 63n), big: 123456789012345678901234567890n, amount: '12345678901234567890.123456789' },
      { id: 1n, big: null, amount: '12.5', deep: [{ id: 9007199254740993n }, { id: 2n }] },
      { id: 1000n, amount: '1500' },
    ]);
  });

  it('are rejected where they would change, at any depth', async () => {
    const cases: [z.ZodType, string, string][] = [
      [z.int(), huge, 'x'],
      [z.number(), huge, 'x'],
      [z.number(), '1e400', 'x'],
      [z.number(), '-1e400', 'x'],
      [z.number(), '1e-400', 'x'],
      [z.number(), '0.1000000000000000055511151231257827', 'x'],
      [z.number(), '12345678901234567890', 'x'],
      [z.number().nullable(), '3.14159265358979323846', 'x'],
      [z.unknown(), huge, 'x'],
      [z.json(), `{"a":[{"b":${huge}}]}`, 'x.a.0.b'],
      [z.looseObject({}), `{"a":${huge}}`, 'x.a'],
      [z.record(z.string(), z.unknown()), '{"a":{"b":1e999}}', 'x.a.b'],
      [z.array(z.union([z.string(), z.number()])), `[1,"a",${huge}]`, 'x.2'],
      [z.string(), huge, 'x'],
      [z.coerce.number(), huge, 'x'],
      [z.coerce.number(), `"${huge}"`, 'x'],
      [z.coerce.string(), huge, 'x'],
      [
        z.union([z.strictObject({ id: z.bigint() }), z.strictObject({ n: z.number() })]),
        `{"n":${huge}}`,
        'x.n',
      ],
      [z.preprocess((v) => v, z.number()), huge, 'x'],
      [z.int64(), '9223372036854775807.5', 'x'],
    ];
    for (const [schema, value, path] of cases) {
      const { rejected } = await run({ x: schema }, `{"x":${value}}`);
      assert.deepEqual(rejected, [['NumberInexact', path]], `${schema.type} ${value}`);
    }
  });

  it('pass where a double is equal to them', async () => {
    const numbers = [
      '0.1',
      '1e23',
      '-0.0',
      '1.50',
      '9007199254740992',
      '5e-324',
      '100000000000000000000',
      '0.30000000000000004',
    ];
    const { stored, rejected } = await run({ x: z.number() }, numbers.map((n) => `{"x":${n}}`).join('\n'));
    assert.deepEqual(rejected, []);
    assert.deepEqual(
      stored.map(({ x }) => (x as number) + 0),
      [0.1, 1e23, 0, 1.5, 9007199254740992, 5e-324, 1e20, 0.30000000000000004],
    );
  });

  it('of a decimal fit its digits, or are rejected', async () => {
    const wrong = [
      '123456.1',
      '1.234',
      '"1e2"',
      '"0x10"',
      '""',
      '" 1"',
      '"1,5"',
      'true',
      'null',
      '1e400',
      '"NaN"',
      '".5"',
      '"+1"',
    ];
    const { rejected } = await run({ x: decimal(7, 2) }, wrong.map((n) => `{"x":${n}}`).join('\n'));
    assert.deepEqual(
      rejected.map(([code]) => code),
      wrong.map(() => 'SchemaMismatch'),
    );
    const right = ['12345.67', '-12345.67', '0.1', '1.500', '1e2', '"-0.00"', '"00007"', '12345'];
    const { stored } = await run({ x: decimal(7, 2) }, right.map((n) => `{"x":${n}}`).join('\n'));
    assert.deepEqual(
      stored.map(({ x }) => x),
      ['12345.67', '-12345.67', '0.1', '1.5', '100', '0', '7', '12345'],
    );
    assert.throws(() => decimal(0), RangeError);
    assert.throws(() => decimal(5, 6), RangeError);
  });
});

describe('keys of JSON', () => {
  it('that stand twice are a rejection, at any depth and by any spelling', async () => {
    const cases: [string, string][] = [
      ['{"x":1,"x":1}', 'x'],
      ['{"x":1,"\\u0078":2}', 'x'],
      ['{"x":{"a":{"b":1,"b":2}}}', 'x.a.b'],
      ['{"x":[{"b":1},{"c":1,"d":2,"c":3}]}', 'x.1.c'],
      ['{"x":{"__proto__":1,"__proto__":2}}', 'x.__proto__'],
      ['{"x": 1 , "x" : 2}', 'x'],
    ];
    for (const [line, path] of cases)
      assert.deepEqual((await run({ x: z.unknown() }, line)).rejected, [['DuplicateKey', path]], line);
    const fine = '{"x":{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}}';
    assert.deepEqual((await run({ x: z.unknown() }, fine)).rejected, []);
  });
});

describe('times', () => {
  it('finer than their column are a rejection, and never merge', async () => {
    const digits = (n: string) => `{"x":"2026-01-01T00:00:00.${n}Z"}`;
    const lines = ['123456', '1234567', '1234560', '123456001'].map(digits).join('\n');
    assert.deepEqual((await run({ x: z.iso.datetime() }, lines)).rejected, [
      ['TimeInexact', 'x'],
      ['TimeInexact', 'x'],
    ]);
    assert.deepEqual(
      (await run({ x: z.iso.time() }, '{"x":"10:00:00.1234567"}\n{"x":"10:00:00.123456"}')).rejected,
      [['TimeInexact', 'x']],
    );
    assert.deepEqual(
      (
        await run(
          { x: z.coerce.date() },
          [...['123', '1230', '1234'].map(digits), '{"x":"2026-01-01T00:00"}'].join('\n'),
        )
      ).rejected,
      [
        ['TimeInexact', 'x'],
        ['OffsetMissing', 'x'],
      ],
    );
    assert.deepEqual((await run({ x: z.iso.datetime().pipe(z.coerce.date()) }, digits('1234'))).rejected, [
      ['TimeInexact', 'x'],
    ]);
  });
});

describe('text', () => {
  const oneColumn = (values: readonly string[]) => `x\n${values.map((v) => `"${v}"\n`).join('')}`;

  it('becomes a number, a boolean or a time by one spelling only', async () => {
    const cases: [string, z.ZodType, [string, unknown][], string[]][] = [
      [
        'integer',
        text.integer(),
        [
          ['12', 12],
          ['-3', -3],
          ['007', 7],
          ['9007199254740991', 2 ** 53 - 1],
        ],
        ['', ' ', '1.0', '1E5', '0x10', '1 ', '+1', '१', 'NaN', 'Infinity', huge],
      ],
      [
        'int64',
        text.int64(),
        [
          [huge, 9007199254740993n],
          ['-9223372036854775808', -(2n ** 63n)],
        ],
        ['', '9223372036854775808', '1.0', '0b1'],
      ],
      [
        'number',
        text.number(),
        [
          ['1.50', 1.5],
          ['-0.1', -0.1],
        ],
        ['', ' ', '0x10', '1E5', '1e400', '.5', '5.', 'Infinity', '1,5', '0.12345678901234567890'],
      ],
      [
        'number with exponent',
        text.number({ exponent: true }),
        [
          ['1.5e-7', 1.5e-7],
          ['1E5', 1e5],
        ],
        ['', '1e400', 'e5', '0x10'],
      ],
      [
        'decimal',
        text.decimal(10, 3),
        [
          ['1.50', '1.5'],
          ['-0', '0'],
          ['1234567.891', '1234567.891'],
        ],
        ['', '1e2', '12345678', '1.2345', '0x1', '$5'],
      ],
      [
        'boolean',
        text.boolean(),
        [
          ['true', true],
          ['false', false],
        ],
        ['', 'TRUE', '1', '0', 'yes'],
      ],
      [
        'boolean by words',
        text.boolean({ true: ['Y', 'J'], false: ['N'] }),
        [
          ['J', true],
          ['N', false],
        ],
        ['y', 'true', ''],
      ],
      [
        'timestamp',
        text.timestamp(),
        [['2026-01-01T00:00:00+01:00', '2026-01-01T00:00:00+01:00']],
        [
          '',
          '2026-01-01',
          '2026-01-01T00:00:00',
          '1',
          '2026-02-30T00:00:00Z',
          '2026-01-01T00:00:00.1234567Z',
        ],
      ],
      [
        'coerced number',
        z.coerce.number(),
        [
          ['12.5', 12.5],
          ['-1', -1],
        ],
        ['', ' ', '0x10', '1E5', 'true', huge],
      ],
      [
        'coerced number of text',
        z.string().pipe(z.coerce.number()).pipe(z.int()),
        [['12', 12]],
        ['', ' ', '0x10', '1E5'],
      ],
      ['coerced bigint', z.coerce.bigint(), [[huge, 9007199254740993n]], ['', ' ', '0x10', '1.0']],
    ];
    for (const [name, schema, right, wrong] of cases) {
      const { stored, rejected } = await run(
        { x: schema },
        oneColumn([...right.map(([v]) => v), ...wrong]),
        csv(),
      );
      assert.deepEqual(
        stored.map(({ x }) => x),
        right.map(([, v]) => v),
        name,
      );
      assert.equal(rejected.length, wrong.length, name);
    }
  });

  it('that is empty is null only where the schema says so', async () => {
    const format = csv({ emptyAs: 'null' });
    const two = 'x,y\n,1\n2,1\n';
    for (const schema of [text.number(), z.coerce.number()]) {
      assert.equal((await run({ x: schema, y: text.integer() }, two, format)).rejected.length, 1);
      assert.deepEqual((await run({ x: schema.nullable(), y: text.integer() }, two, format)).stored, [
        { x: null, y: 1 },
        { x: 2, y: 1 },
      ]);
    }
  });

  it('is not coerced to a boolean: such a definition does not load', () => {
    for (const schema of [
      z.coerce.boolean(),
      z.array(z.coerce.boolean()),
      z.string().pipe(z.coerce.boolean()).nullable(),
    ])
      assert.throws(() => pipelineOf({ x: schema }), /z\.coerce\.boolean\(\)/);
    assert.throws(() => text.boolean({ true: ['x'], false: ['x'] }), RangeError);
  });
});

describe('checks of a schema', () => {
  it('that change a value count', async () => {
    const shout = z.string().check((context) => {
      context.value = context.value.toUpperCase();
    });
    const cases: [z.ZodType, string, unknown][] = [
      [shout, '"a"', 'A'],
      [z.array(shout), '["a","b"]', ['A', 'B']],
      [
        z.string().superRefine((_, context) => {
          context.value = 'z';
        }),
        '"a"',
        'z',
      ],
      [z.string().overwrite((v) => `${v}!`), '"a"', 'a!'],
      [
        z.number().check((context) => {
          context.value *= 2;
        }),
        '2',
        4,
      ],
      [
        z.strictObject({ a: z.int() }).refine((v) => {
          v.a++;
          return true;
        }),
        '{"a":1}',
        { a: 2 },
      ],
    ];
    for (const [schema, value, expected] of cases) {
      const pipeline = definePipeline({
        id: 'checks',
        source: upload(ndjson()),
        input: z.strictObject({ x: schema }),
        output: z.strictObject({ x: z.json() }),
        transform: ({ x }) => ({ x: x as never }),
        sink: postgres({ table: 'checks', key: rowDigest() }),
      });
      assert.deepEqual((await testPipeline(pipeline, `{"x":${value}}`)).stored, [{ x: expected }]);
    }
  });
});

describe('rows of a transform', () => {
  class Point {
    x = 1;
  }
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);

  async function store(value: () => unknown) {
    const pipeline = definePipeline({
      id: 'json',
      source: upload(ndjson()),
      input: z.strictObject({}),
      output: z.strictObject({ x: z.unknown() }),
      transform: () => ({ x: value() }),
      sink: postgres({ table: 'json', key: rowDigest() }),
    });
    const { rejected, stored } = await testPipeline(pipeline, '{}');
    return { rejected: rejected.map(({ code, path }) => [code, path]), stored };
  }

  it('do not go to jsonb with what JSON does not have', async () => {
    const cases: [unknown, string, string][] = [
      [Number.NaN, 'NotJson', 'x'],
      [{ a: [1, Number.POSITIVE_INFINITY] }, 'NotJson', 'x.a.1'],
      [new Map([['a', 1]]), 'NotJson', 'x'],
      [{ a: new Set([1]) }, 'NotJson', 'x.a'],
      [[new Point()], 'NotJson', 'x.0'],
      [{ at: new Date(Number.NaN) }, 'NotJson', 'x.at'],
      [[1, undefined], 'NotJson', 'x.1'],
      [new Array(2), 'NotJson', 'x.0'],
      [{ a: () => 1 }, 'NotJson', 'x.a'],
      [{ a: Symbol('a') }, 'NotJson', 'x.a'],
      [new Uint8Array(2), 'NotJson', 'x'],
      [Object(1), 'NotJson', 'x'],
      [/a/, 'NotJson', 'x'],
      [circle, 'NotJson', 'x.self'],
      [10n ** 131_072n, 'NotJson', 'x'],
      [nested(100), 'TooDeep', `x.${Array(64).fill(0).join('.')}`],
      [{ a: '\0' }, 'NulByte', 'x'],
      [{ a: '\ud800' }, 'InvalidUtf8', 'x'],
    ];
    for (const [value, code, path] of cases)
      assert.deepEqual((await store(() => value)).rejected, [[code, path]]);
  });

  it('go to jsonb where JSON has the value', async () => {
    const fine = [
      { a: undefined, b: null },
      [new Date(0)],
      { n: 9007199254740993n },
      -0,
      nested(63),
      Object.create(null),
      'a',
    ];
    for (const value of fine) assert.deepEqual((await store(() => value)).rejected, []);
    const shared = { a: 1 };
    assert.deepEqual((await store(() => [shared, shared])).rejected, []);
  });

  it('differ by each digit where the row is its own key', async () => {
    const { stored, counts } = await run(
      { x: z.array(z.bigint()) },
      `{"x":[9007199254740992]}\n{"x":[${huge}]}\n{"x":[${huge}]}`,
    );
    assert.equal(stored.length, 2);
    assert.equal(counts.deduplicated, 1);
  });
});

describe('a record with a million wrong items', () => {
  it('takes no thread for longer than its JSON takes to read', async () => {
    const line = `{"x":[${Array(1_000_000).fill(1).join()}]}`;
    const schemas = [
      z.array(z.string()),
      z.array(z.strictObject({ a: z.string() })),
      z.array(z.union([z.string(), z.boolean()])),
      z.union([z.array(z.string()), z.array(z.boolean())]),
      z.array(z.number().min(3)),
      z.array(decimal(3).nullable()).max(3),
    ];
    for (const schema of schemas) {
      const pipeline = definePipeline({
        id: 'many',
        source: upload(ndjson()),
        limits: { recordBytes: 4 * 1024 * 1024 },
        input: z.strictObject({ x: schema }),
        sink: postgres({ table: 'many', key: rowDigest() }),
      } as never) as never;
      const began = performance.now();
      const { rejected } = await testPipeline(pipeline, line);
      assert.deepEqual(
        rejected.map(({ code }) => code),
        ['SchemaMismatch'],
      );
      assert.ok(performance.now() - began < 5_000, `${performance.now() - began} ms`);
    }
  });
});
