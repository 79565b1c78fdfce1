import assert from 'node:assert/strict';
import { it } from 'node:test';
import { z } from 'zod';
import { qualityKeyBytes } from '../../domain/quality/quality.ts';
import { QualityMeter } from '../../engine/records/qualityMeter.ts';
import { decimal, definePipeline, inline, postgres } from '../../sdk/index.ts';

const input = z.strictObject({
  id: z.string(),
  n: z.int().nullable(),
  big: z.bigint().nullable(),
  amount: decimal(30, 10).nullable(),
  x: z.number().nullable(),
  day: z.iso.date().nullable(),
  at: z.iso.datetime({ offset: true }).nullable(),
  active: z.boolean().nullable(),
});
type Row = Partial<z.output<typeof input>>;

/** What one rule measures of rows, which are added one batch after another. */
function measure(rule: Parameters<typeof rules>[0], ...rows: Row[]) {
  const { manifest } = rules(rule);
  const meter = new QualityMeter(manifest);
  meter.add(rows);
  const { measures, keys } = meter.finish();
  const [measured] = Object.values(measures);
  const { rows: counted, off, newestMs } = measured!;
  return { counted, off, ...(newestMs !== undefined && { newestMs }), keys: keysOf(keys) };
}

function keysOf(text = ''): string[] {
  const bytes = Buffer.from(text, 'base64');
  assert.equal(bytes.length % qualityKeyBytes, 0);
  return Array.from({ length: bytes.length / qualityKeyBytes }, (_, i) =>
    bytes.toString('hex', i * qualityKeyBytes, (i + 1) * qualityKeyBytes),
  );
}

// biome-ignore lint/suspicious/noExplicitAny: any rule
function rules(rule: any) {
  const sink = postgres({ table: 'things', key: ['id'] });
  return definePipeline({
    id: 'things',
    source: inline(),
    input,
    sink,
    quality: { rules: [rule], onBreach: 'warn' },
  });
}

it('completeness: null and absent are no value, and an empty text is one', () => {
  const { counted, off } = measure({ kind: 'complete', column: 'id' }, { id: '' }, {}, { id: 'a' });
  assert.deepEqual([counted, off], [3, 1]);
});

it('range: compares numbers exactly, of each type, and its bounds are inside', () => {
  const cases: [rule: object, inside: Row[], outside: Row[]][] = [
    [{ column: 'n', min: -1, max: 1 }, [{ n: -1 }, { n: 0 }, { n: 1 }], [{ n: -2 }, { n: 2 }]],
    [
      { column: 'big', min: -(2n ** 63n), max: 2n ** 53n },
      [{ big: 2n ** 53n }, { big: -(2n ** 63n) }],
      [{ big: 2n ** 53n + 1n }],
    ],
    [
      { column: 'amount', min: '-0.05', max: '9007199254740992.0000000001' },
      [
        { amount: '-0.05' },
        { amount: '9007199254740992.0000000001' },
        { amount: '0' },
        { amount: '-0.0499' },
      ],
      [{ amount: '-0.0500000001' }, { amount: '9007199254740992.0000000002' }, { amount: '-10' }],
    ],
    [{ column: 'x', min: 0, max: 1e21 }, [{ x: 1e21 }, { x: 1e-7 }, { x: 0 }], [{ x: 1e22 }, { x: -1e-7 }]],
    [
      { column: 'day', min: '2024-02-29' },
      [{ day: '2024-02-29' }, { day: '2024-03-01' }],
      [{ day: '2024-02-28' }, { day: '1999-12-31' }],
    ],
  ];
  for (const [rule, inside, outside] of cases) {
    const { counted, off } = measure({ kind: 'range', ...rule }, ...inside, ...outside, {});
    assert.deepEqual(
      [counted, off],
      [inside.length + outside.length, outside.length],
      JSON.stringify(outside.map(String)),
    );
    for (const row of inside) assert.equal(measure({ kind: 'range', ...rule }, row).off, 0);
    for (const row of outside) assert.equal(measure({ kind: 'range', ...rule }, row).off, 1);
  }
});

it('set: compares by value, and no value does not count', () => {
  const of = (column: string, values: unknown[], ...rows: Row[]) => {
    const { counted, off } = measure({ kind: 'set', column, values }, ...rows);
    return [counted, off];
  };
  assert.deepEqual(of('id', ['a', 'b'], { id: 'a' }, { id: 'A' }, {}), [2, 1]);
  assert.deepEqual(of('amount', ['1.50', 2], { amount: '1.5' }, { amount: '2' }, { amount: '2.1' }), [3, 1]);
  assert.deepEqual(of('active', [false], { active: false }, { active: true }), [2, 1]);
  assert.deepEqual(of('big', [2n ** 60n], { big: 2n ** 60n }, { big: 2n ** 60n + 1n }), [2, 1]);
});

it('freshness: keeps the newest time, whatever its offset', () => {
  const { counted, newestMs } = measure(
    { kind: 'fresh', column: 'at', within: '1d' },
    { at: '2026-01-01T12:00:00+02:00' },
    { at: '2026-01-01T11:00:00Z' },
    {},
  );
  assert.deepEqual([counted, newestMs], [2, Date.parse('2026-01-01T11:00:00Z')]);
});

it('uniqueness: equal values have one key, and rows without a value have none', () => {
  const one = measure(
    { kind: 'unique', columns: ['at'] },
    { at: '2026-01-01T12:00:00+02:00' },
    { at: '2026-01-01T10:00:00.000Z' },
    { at: '2026-01-01T10:00:01Z' },
    {},
  );
  assert.deepEqual([one.counted, one.keys.length, new Set(one.keys).size], [3, 3, 2]);
  const pairs = measure(
    { kind: 'unique', columns: ['id', 'day'] },
    { id: 'a', day: '2026-01-01' },
    { id: 'a2026-01-01', day: '2026-01-01' },
    { id: 'a' },
  );
  assert.deepEqual([pairs.counted, new Set(pairs.keys).size], [2, 2]);
  const many = measure(
    { kind: 'unique', columns: ['id'] },
    ...Array.from({ length: 5_000 }, (_, i) => ({ id: `${i % 4_000}` })),
  );
  assert.deepEqual([many.counted, new Set(many.keys).size], [5_000, 4_000]);
});
