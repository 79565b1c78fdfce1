import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { comparable, isLater, laterOf } from '../../domain/sources/watermark.ts';

describe('a watermark', () => {
  test('has an instant in UTC, with all of its digits and no more', () => {
    for (const [text, mark] of [
      ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z'],
      ['2026-01-02T03:04Z', '2026-01-02T03:04:00Z'],
      ['2026-01-02T03:04:05.120Z', '2026-01-02T03:04:05.12Z'],
      ['2026-01-02T03:04:05.123456789Z', '2026-01-02T03:04:05.123456789Z'],
      ['2026-01-02T00:30:00+02:00', '2026-01-01T22:30:00Z'],
      ['2026-01-02T00:30:00.000001-0330', '2026-01-02T04:00:00.000001Z'],
      ['2026-12-31T23:00:00-02', '2027-01-01T01:00:00Z'],
    ])
      assert.equal(comparable('instant', text), mark, text);
    assert.equal(comparable('instant', new Date(1.5e12)), '2017-07-14T02:40:00Z');
  });

  test('is nothing that has no certain place in the order', () => {
    for (const value of [
      '2026-01-02T03:04:05',
      '2026-13-02T03:04:05Z',
      '9999-12-31T23:00:00-02:00',
      new Date(Number.NaN),
      7,
      null,
    ])
      assert.equal(comparable('instant', value), undefined, String(value));
    for (const value of ['2026-1-2', '2026-01-02T00:00:00Z', 20260102, undefined])
      assert.equal(comparable('date', value), undefined, String(value));
    for (const value of [1.5, 2 ** 53, '1e3', '', '007', null])
      assert.equal(comparable('integer', value), undefined, String(value));
  });

  test('orders instants as their moments are, whatever their offsets and digits', () => {
    const spelled = fc
      .record({
        atMs: fc.integer({ min: 0, max: 4e12 }),
        micros: fc.integer({ min: 0, max: 999 }),
        offsetMinutes: fc.integer({ min: -720, max: 840 }),
      })
      .map(({ atMs, micros, offsetMinutes }) => {
        const local = new Date(atMs + offsetMinutes * 60_000).toISOString().slice(0, -1);
        const [h, m] = [Math.floor(Math.abs(offsetMinutes) / 60), Math.abs(offsetMinutes) % 60];
        const two = (n: number) => String(n).padStart(2, '0');
        const offset = `${offsetMinutes < 0 ? '-' : '+'}${two(h)}:${two(m)}`;
        return {
          text: `${local}${String(micros).padStart(3, '0')}${offset}`,
          at: BigInt(atMs) * 1000n + BigInt(micros),
        };
      });
    fc.assert(
      fc.property(spelled, spelled, (a, b) => {
        const [x, y] = [comparable('instant', a.text)!, comparable('instant', b.text)!];
        assert.equal(isLater('instant', x, y), a.at > b.at, `${a.text} ${b.text}`);
        assert.equal(comparable('instant', x), x, 'a mark is its own notation');
      }),
    );
  });

  test('orders whole numbers by value, however many digits they have', () => {
    fc.assert(
      fc.property(fc.bigInt(), fc.bigInt(), (a, b) =>
        assert.equal(isLater('integer', comparable('integer', a)!, comparable('integer', b)!), a > b),
      ),
    );
    assert.equal(comparable('integer', -0), '0');
  });

  test('only moves forward', () => {
    assert.equal(laterOf('date', '2026-01-02', '2026-01-01'), '2026-01-02');
    assert.equal(laterOf<string | null>('date', null, '2026-01-01'), '2026-01-01');
    assert.equal(laterOf<string | undefined>('integer', '9', undefined), '9');
    assert.equal(laterOf('integer', '9', '10'), '10');
  });
});
