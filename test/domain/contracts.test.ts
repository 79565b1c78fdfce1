import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { type Contract, contractOf, contractText, parseContract } from '../../domain/contracts/contract.ts';
import { type ContractChange, contractDifference } from '../../domain/contracts/contractChanges.ts';
import { covers } from '../../domain/contracts/covers.ts';
import { decimal, definePipeline, inline, postgres } from '../../sdk/index.ts';

type Shape = Record<string, z.ZodType>;

const base = { id: z.string() };

/** The contract of a pipeline with these fields beside its key, in the input or in the output. */
function contract(
  side: 'input' | 'output',
  shape: Shape,
  { version = 1, ...sink }: { version?: number; key?: string[]; renamed?: Record<string, string> } = {},
): Contract {
  const [input, output] = [base, { ...base, ...shape }].map((fields) => z.strictObject(fields));
  const target = { table: 'things', key: ['id'] as [string, ...string[]], ...sink } as {
    table: string;
    key: ['id'];
  };
  const common = { id: 'things', version, source: inline(), sink: postgres(target) };
  return contractOf(
    side === 'input'
      ? definePipeline({
          ...common,
          input: output!,
          output: input!,
          transform: ({ id }: { id: string }) => ({ id }),
        } as never)
      : definePipeline({
          ...common,
          input: input!,
          output: output!,
          transform: (record: object) => record,
        } as never),
  );
}

function changesOf(side: 'input' | 'output', old: Shape, now: Shape, options: object = {}): ContractChange[] {
  return contractDifference(contract(side, old), contract(side, now, options)).changes;
}

const text = z.string();
const number = z.number();

/** A change on one side: the fields before and after, the kind, whether it is breaking, and what the message says to do. */
const cases: ['input' | 'output', string, Shape, Shape, ContractChange['kind'], boolean, RegExp, object?][] =
  [
    ['input', 'add an optional field', {}, { a: text.optional() }, 'add', false, /may leave it out/],
    ['input', 'add a field with a default', {}, { a: text.default('') }, 'add', false, /may leave it out/],
    ['input', 'add a required field', {}, { a: text }, 'add', true, /give it a default, or raise version/],
    ['input', 'remove a field', { a: text }, {}, 'remove', true, /keep it as an optional field/],
    [
      'input',
      'rename a field',
      { a: text },
      { b: text },
      'rename',
      true,
      /is called b now; accept both names/,
    ],
    ['input', 'widen a number', { a: z.int32() }, { a: number }, 'widen', false, /accepts more/],
    ['input', 'widen by a value', { a: z.enum(['x']) }, { a: z.enum(['x', 'y']) }, 'widen', false, /more/],
    ['input', 'widen a list', { a: z.array(z.int()) }, { a: z.array(number) }, 'widen', false, /more/],
    ['input', 'narrow a number', { a: number }, { a: z.int() }, 'narrow', true, /accept the old values too/],
    ['input', 'narrow a text', { a: text }, { a: text.max(9) }, 'narrow', true, /raise version/],
    ['input', 'take another type', { a: text }, { a: z.boolean() }, 'narrow', true, /raise version/],
    [
      'input',
      'narrow a decimal',
      { a: decimal(9, 2) },
      { a: decimal(7, 2) },
      'narrow',
      true,
      /raise version/,
    ],
    ['input', 'widen a decimal', { a: decimal(7, 2) }, { a: decimal(9, 2) }, 'widen', false, /more/],
    ['input', 'allow null', { a: text }, { a: text.nullable() }, 'nullable', false, /may be missing or null/],
    ['input', 'forbid null', { a: text.nullable() }, { a: text }, 'nullable', true, /give it a default/],
    ['input', 'require a field', { a: text.optional() }, { a: text }, 'nullable', true, /give it a default/],
    [
      ...([
        'input',
        'change a unit',
        { a: number.meta({ unit: 'EUR' }) },
        { a: number.meta({ unit: 'ct' }) },
      ] as const),
      ...(['unit', true, /is in ct and was in EUR.*raise version and run all data again/] as const),
    ],
    ['input', 'name a unit', { a: number }, { a: number.meta({ unit: 'EUR' }) }, 'unit', false, /is in EUR/],
    ['output', 'add a nullable column', {}, { a: text.nullable() }, 'add', false, /NULL in the rows/],
    [
      'output',
      'add a required column',
      {},
      { a: text },
      'add',
      true,
      /defaults: \{ a: … \}.*or by a run of all data/,
    ],
    ['output', 'remove a column', { a: text }, {}, 'remove', true, /the column stays.*raise version/],
    [
      'output',
      'rename without saying so',
      { a: text },
      { b: text },
      'rename',
      true,
      /declare renamed: \{ a: 'b' \}/,
    ],
    [
      ...(['output', 'rename a column', { a: text, c: text }, { b: text, c: text }, 'rename', true] as const),
      ...([/apply renames the column/, { renamed: { a: 'b' } }] as const),
    ],
    ['output', 'widen a column', { a: z.int32() }, { a: z.int() }, 'widen', true, /apply widens the column/],
    ['output', 'widen a double', { a: number }, { a: decimal(20, 5) }, 'widen', true, /widened: \['a'\]/],
    [
      'output',
      'widen values',
      { a: z.enum(['x']) },
      { a: z.enum(['x', 'y']) },
      'widen',
      true,
      /tell the readers/,
    ],
    [
      'output',
      'narrow a column',
      { a: z.int() },
      { a: z.int32() },
      'narrow',
      true,
      /name a new table, raise version/,
    ],
    ['output', 'narrow values', { a: text }, { a: text.max(3) }, 'narrow', true, /raise version/],
    ['output', 'allow NULL', { a: text }, { a: text.nullable() }, 'nullable', true, /give it a value always/],
    [
      'output',
      'require a column',
      { a: text.nullable() },
      { a: text },
      'nullable',
      true,
      /in how many rows it is NULL/,
    ],
    [
      ...(['output', 'change the key', { a: text }, { a: text }, 'key', true] as const),
      ...([/was things \(id\); raise version, name a new table/, { key: ['id', 'a'] }] as const),
    ],
    [
      ...([
        'output',
        'change a unit',
        { a: number.meta({ unit: 'EUR' }) },
        { a: number.meta({ unit: 'ct' }) },
      ] as const),
      ...(['unit', true, /a new name, or raise version and run all data again/] as const),
    ],
  ];

describe('a contract', () => {
  for (const [side, name, old, now, kind, breaking, message, options] of cases)
    it(`${side}: to ${name} is ${breaking ? 'breaking' : 'compatible'}`, () => {
      const changes = changesOf(side, old, now, options).filter((change) => change.side === side);
      assert.deepEqual(
        changes.map((change) => [change.kind, change.breaking]),
        [[kind, breaking]],
      );
      assert.match(changes[0]!.message, message);
    });

  it('unknown fields: to accept them is compatible for senders, to reject them again is not', () => {
    const old = contract('input', { a: text, b: z.strictObject({ c: text, d: text.optional() }) });
    for (const unknownFields of ['keep', 'drop'] as const) {
      const open = { ...old, unknownFields };
      const said = (from: Contract, to: Contract) =>
        contractDifference(from, to).changes.map(({ side, kind, name, breaking }) => [
          side,
          kind,
          name,
          breaking,
        ]);
      assert.deepEqual(said(old, open), [['input', 'widen', 'unknownFields', false]]);
      assert.deepEqual(said(open, old), [['input', 'narrow', 'unknownFields', true]]);
      const fewer = contract('input', { b: z.strictObject({ c: text }) });
      assert.deepEqual(said(open, { ...fewer, unknownFields }), [['input', 'remove', 'a', false]]);
      assert.deepEqual(said(old, fewer), [
        ['input', 'remove', 'a', true],
        ['input', 'narrow', 'b', true],
      ]);
    }
    const pipeline = (unknownFields: 'keep' | 'drop') =>
      contractOf(
        definePipeline({
          id: 'things',
          source: inline(),
          input: z.strictObject(base),
          unknownFields,
          sink: postgres({ table: 'things', key: ['id'] }),
        }),
      );
    const dropped = contractDifference(pipeline('keep'), pipeline('drop'));
    assert.deepEqual(
      dropped.changes.map(({ side, kind, name, breaking }) => [side, kind, name, breaking]),
      [['output', 'remove', '_extra', true]],
    );
    assert.match(dropped.changes[0]!.message, /the column stays/);
    assert.equal(contractDifference(pipeline('drop'), pipeline('keep')).refused, false);
  });

  it('input: another cursor is a change of the key, and breaking', () => {
    const old = contract('input', {});
    const { changes } = contractDifference(old, { ...old, cursor: 'bytes' });
    assert.deepEqual(
      changes.map(({ side, kind, breaking }) => [side, kind, breaking]),
      [['input', 'key', true]],
    );
  });

  it('follows a rename of a key column, and of a column that changes in other ways too', () => {
    const old = contract('output', { a: z.int32() }, { key: ['id', 'a'] });
    const now = contract('output', { b: z.int() }, { key: ['id', 'b'], renamed: { a: 'b' } });
    assert.deepEqual(
      contractDifference(old, now).changes.map(({ kind, name }) => [kind, name]),
      [
        ['rename', 'a'],
        ['widen', 'b'],
      ],
    );
  });

  it('refuses a breaking change without a higher version, and never a compatible one', () => {
    const old = contract('input', { a: text });
    const refused = (shape: Shape, version: number) =>
      contractDifference(old, contract('input', shape, { version })).refused;
    assert.equal(refused({}, 1), true);
    assert.equal(refused({}, 2), false);
    assert.equal(refused({ a: text.nullable() }, 1), false);
    assert.equal(contractDifference(contract('input', {}, { version: 3 }), old).refused, true);
  });

  it('ignores what says nothing about values', () => {
    assert.deepEqual(changesOf('input', { a: text }, { a: text.describe('what it is') }), []);
    assert.deepEqual(changesOf('output', { a: text, b: number }, { b: number, a: text }), []);
  });

  it('is the same text for the same code, and is read back as it was', () => {
    const one = contract('input', { a: z.date(), b: z.bigint(), c: z.record(z.string(), number) });
    assert.equal(contractText(one), contractText(parseContract(contractText(one))));
    assert.deepEqual(contractDifference(parseContract(contractText(one)), one).changes, []);
  });

  it('tells dates and bigints from other values', () => {
    for (const [old, now] of [
      [z.date(), z.bigint()],
      [z.bigint(), text],
      [z.date(), number],
    ] as const)
      assert.equal(changesOf('input', { a: old }, { a: now })[0]?.kind, 'narrow');
  });

  it('covers: what is said to accept every value of another schema does accept them', () => {
    const leaf: fc.Arbitrary<z.ZodType> = fc.constantFrom<z.ZodType>(
      text,
      text.max(2),
      number,
      z.int(),
      z.int().min(2),
      z.number().max(1),
      z.boolean(),
      z.null(),
      z.enum(['a', 'bb']),
      z.literal('a'),
      z.array(text),
      z.array(z.union([text, number])).max(1),
    );
    const schema = fc.oneof(
      leaf,
      fc.tuple(leaf, leaf).map(([a, b]) => z.union([a, b])),
      fc.tuple(leaf, fc.boolean()).map(([a, optional]) => z.strictObject({ x: optional ? a.optional() : a })),
    );
    const value = fc.oneof(
      fc.constantFrom<unknown>(
        'a',
        'bb',
        'ccc',
        0,
        1,
        2,
        3.5,
        -1,
        true,
        null,
        [],
        ['a'],
        [1],
        ['a', 'b'],
        {},
      ),
      fc.constantFrom<unknown>(
        { x: 'a' },
        { x: 'ccc' },
        { x: 1 },
        { x: 3.5 },
        { x: null },
        { x: [] },
        { y: 1 },
      ),
    );
    fc.assert(
      fc.property(schema, schema, fc.array(value, { minLength: 20 }), (a, b, values) => {
        const [wide, narrow] = [z.toJSONSchema(a), z.toJSONSchema(b)];
        if (!covers(wide, narrow, { wide, narrow })) return;
        for (const one of values) if (b.safeParse(one).success) assert.ok(a.safeParse(one).success);
      }),
      { numRuns: 2_000 },
    );
  });
});
