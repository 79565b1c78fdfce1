import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { columnText } from '../../connectors/sinks/postgres/columnText.ts';
import { arrayLiteral } from '../../connectors/sinks/postgres/incomingRows.ts';
import { ExactNumber } from '../../domain/json/parseExactJson.ts';
import type { SqlType } from '../../domain/pipelines/manifest.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';

const two = (n: number) => String(n).padStart(2, '0');
const offset = fc.constantFrom('Z', '+00:00', '-00:00', '+05:30', '-11:45', '+23:59');
const fraction = fc.option(fc.nat(9_999_999).map(String), { nil: '' });
const isoDate = fc
  .date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true })
  .map((d) => d.toISOString().slice(0, 10));
const clock = fc.tuple(fc.nat(23), fc.nat(59), fc.option(fc.tuple(fc.nat(59), fraction))).map(([h, m, s]) => {
  const seconds = s ? `:${two(s[0])}${s[1] && `.${s[1]}`}` : '';
  return `${two(h)}:${two(m)}${seconds}`;
});

/** Values that a schema mapped to the type can return. */
const values: Record<SqlType, fc.Arbitrary<unknown>> = {
  text: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('NULL', 'null', '{}', '"', '\\', ',', ' ', '\t\r\n', '\u{1F4E6}\u00e9\uFEFF'),
  ),
  integer: fc.integer(),
  bigint: fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  numeric: fc.bigInt(),
  'double precision': fc.double(),
  boolean: fc.boolean(),
  timestamptz: fc.oneof(
    fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
    fc.tuple(isoDate, clock, offset).map(([d, c, o]) => `${d}T${c}${o}`),
  ),
  date: isoDate,
  time: clock,
  uuid: fc.uuid().map((u) => u.toUpperCase()),
  jsonb: fc.oneof(
    fc.jsonValue({ stringUnit: 'binary' }),
    fc.constant({ q: '"\\"', n: '\\u0000', e: '\u{1F4E6}' }),
  ),
};

describe('texts of columns', () => {
  let postgres: TestPostgres;
  let pool: pg.Pool;
  before(async () => {
    postgres = await startPostgresForTest();
    pool = new pg.Pool({ connectionString: postgres.workerUrl });
  });
  after(async () => {
    await pool?.end();
    await postgres?.stop();
  });

  for (const [type, arbitrary] of Object.entries(values) as [SqlType, fc.Arbitrary<unknown>][]) {
    it(`are read by PostgreSQL, and equal where it finds them equal: ${type}`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.option(arbitrary), { minLength: 1, maxLength: 30 }), async (column) => {
          const texts = column
            .map((v) => columnText(type, v))
            .filter((t) => typeof t !== 'object' || t === null);
          const { rows } = await pool.query(
            `SELECT i.v IS NULL AS absent, i.v::text AS text, dense_rank() OVER (ORDER BY i.v)::int AS rank
               FROM unnest($1::${type}[]) WITH ORDINALITY AS i (v, n) ORDER BY n`,
            [arrayLiteral(texts as (string | null)[])],
          );
          assert.deepEqual(
            rows.map((r) => r.absent),
            texts.map((t) => t === null),
          );
          if (type === 'text')
            assert.deepEqual(
              rows.map((r) => r.text),
              texts,
            );
          if (type === 'jsonb') {
            assert.deepEqual(
              rows.map((r) => JSON.parse(r.text)),
              texts.map((t) => JSON.parse(String(t))),
            );
            return;
          }
          for (const [i, a] of rows.entries()) {
            for (const [j, b] of rows.entries())
              assert.equal(texts[i] === texts[j], a.rank === b.rank, `${texts[i]} ${texts[j]}`);
          }
        }),
        { numRuns: 40 },
      );
    });
  }

  it('refuse what PostgreSQL would refuse', () => {
    const wrong: [SqlType, unknown][] = [
      ['text', 1],
      ['integer', 2 ** 31],
      ['integer', 1.5],
      ['bigint', 2n ** 63n],
      ['bigint', 2 ** 53],
      ['bigint', '1'],
      ['numeric', 10n ** 140_000n],
      ['double precision', '1'],
      ['boolean', 'true'],
      ['date', '0000-01-01'],
      ['date', new Date()],
      ['timestamptz', new Date(Number.NaN)],
      ['timestamptz', '0000-01-01T00:00:00Z'],
      ['timestamptz', new Date('+010000-01-01')],
      ['timestamptz', '0001-01-01T00:00:00+01:00'],
      ['time', '1:00'],
      ['uuid', 'x'],
    ];
    for (const [type, value] of wrong)
      assert.deepEqual(columnText(type, value), { code: 'OutputMismatch' }, `${type} ${value}`);
    assert.equal(columnText('jsonb', { a: [new ExactNumber('1.10e3')] }), '{"a":[1.10e3]}');
    assert.deepEqual(columnText('jsonb', { a: new ExactNumber('1e131073') }), { code: 'NotJson', path: 'a' });
    assert.deepEqual(columnText('jsonb', { a: ['x\0'] }), { code: 'NulByte' });
    assert.deepEqual(columnText('jsonb', { '\udc00': 1 }), { code: 'InvalidUtf8' });
  });
});
