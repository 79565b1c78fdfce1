import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { assessQuality, type QualityFindings } from '../../domain/quality/assessQuality.ts';
import { addMeasures, breachesOf } from '../../domain/quality/quality.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import { DefinitionError, decimal, definePipeline, inline, objectFiles, postgres } from '../../sdk/index.ts';

const input = z.strictObject({
  id: z.string(),
  n: z.int32().nullable(),
  amount: decimal(12, 2),
  day: z.iso.date(),
  at: z.iso.datetime(),
  active: z.boolean(),
});

// biome-ignore lint/suspicious/noExplicitAny: any quality, also one that the types reject
function define(quality: any, more: any = {}) {
  const sink = postgres({ table: 'things', key: ['id'] });
  return definePipeline({ id: 'things', source: inline(), input, sink, quality, ...more } as never);
}

const warn = (...rules: unknown[]) => define({ rules, onBreach: 'warn' });

const nothing: QualityFindings = {
  counts: zeroCounts,
  measures: {},
  distinct: new Map(),
  earlierRows: [],
  isRedrive: false,
  acceptedMs: Date.parse('2026-11-28T12:00:00Z'),
};

/** The state of the one rule of a definition. */
function stateOf(pipeline: ReturnType<typeof define>, findings: Partial<QualityFindings>): string {
  const { rules } = assessQuality(pipeline.manifest.quality!, pipeline.quality, { ...nothing, ...findings });
  assert.equal(rules.length, 1);
  return rules[0]!.state;
}

describe('a definition with quality rules', () => {
  it('carries them in its manifest, with names and defaults', () => {
    const { manifest, quality } = define({
      maxRejected: '0.5%',
      rules: [
        { kind: 'complete', column: 'n' },
        { kind: 'unique', columns: ['id', 'day'] },
        { kind: 'range', column: 'amount', min: '0.10', max: 5n },
        { kind: 'set', column: 'active', values: [true] },
        { kind: 'fresh', column: 'at', within: '2d' },
        { kind: 'rows', name: 'usual', min: 1, change: '50%' },
        { kind: 'custom', name: 'few', check: () => true },
      ],
      onBreach: 'warn',
    });
    assert.deepEqual(manifest.quality, {
      onBreach: 'warn',
      rules: [
        { name: 'maxRejected', kind: 'rejected', max: '0.5%' },
        { name: 'complete:n', kind: 'complete', column: 'n', min: '100%' },
        { name: 'unique:id+day', kind: 'unique', columns: ['id', 'day'], maxDuplicates: '0%' },
        { name: 'range:amount', kind: 'range', column: 'amount', min: '0.1', max: '5', maxOutside: '0%' },
        { name: 'set:active', kind: 'set', column: 'active', values: ['t'], maxOutside: '0%' },
        { name: 'fresh:at', kind: 'fresh', column: 'at', withinMs: 172_800_000 },
        { name: 'usual', kind: 'rows', min: 1, change: '50%', runs: 5 },
        { name: 'few', kind: 'custom' },
      ],
    });
    assert.deepEqual(Object.keys(quality), ['few']);
    assert.equal(manifest.sink.atEnd, undefined);
  });

  it('publishes its rows at its end where a breach fails the run', () => {
    assert.equal(define({ maxRejected: '1%', onBreach: 'fail' }).manifest.sink.atEnd, 'append');
    const files = {
      sink: objectFiles({ url: 's3://bucket/things/', credentials: 's3', format: 'ndjson' }),
    };
    assert.equal(define({ maxRejected: '1%', onBreach: 'fail' }, files).manifest.sink.atEnd, 'append');
  });

  const wrong: [what: string, quality: unknown, message: RegExp][] = [
    ['without a rule', { onBreach: 'warn' }, /needs a rule/],
    ['about a column that is not there', rule({ kind: 'complete', column: 'nn' }), /“nn”.*not a field/],
    ['with a share of nothing', { maxRejected: '101%', onBreach: 'warn' }, /percentage/],
    ['that compares times with a range', rule({ kind: 'range', column: 'at', min: 1 }), /numbers or dates/],
    ['with a range without bounds', rule({ kind: 'range', column: 'n' }), /needs min or max/],
    ['with an empty range', rule({ kind: 'range', column: 'amount', min: 10, max: 9 }), /min above its max/],
    ['with a bound that is no number', rule({ kind: 'range', column: 'n', min: 'a' }), /numbers with “a”/],
    [
      'with a value of another type',
      rule({ kind: 'set', column: 'n', values: [true] }),
      /no value of a column integer/,
    ],
    ['about the age of a number', rule({ kind: 'fresh', column: 'n', within: '1d' }), /times or dates/],
    ['with a duration of nothing', rule({ kind: 'fresh', column: 'at', within: '1 day' }), /duration/],
    ['about rows without bounds', rule({ kind: 'rows' }), /needs min, max or change/],
    ['with a custom rule without a name', rule({ kind: 'custom', check: () => true }), /name/],
    [
      'with two rules of one name',
      {
        rules: [
          { kind: 'rows', min: 1 },
          { kind: 'rows', max: 9 },
        ],
        onBreach: 'warn',
      },
      /two rules “rows”/,
    ],
    ['that holds runs and says not who approves', { maxRejected: '1%', onBreach: 'hold' }, /who may approve/],
  ];
  function rule(one: unknown) {
    return { rules: [one], onBreach: 'warn' };
  }
  for (const [what, quality, message] of wrong)
    it(`does not load ${what}`, () =>
      assert.throws(
        () => define(quality),
        (error: DefinitionError) => error instanceof DefinitionError && message.test(error.message),
      ));
});

describe('a rule', () => {
  it('is breached above its share, and not at it, without rounding', () => {
    const pipeline = define({ maxRejected: '0.0001%', onBreach: 'warn' });
    const counts = (read: number, rejected: number) => ({ counts: { ...zeroCounts, read, rejected } });
    assert.equal(stateOf(pipeline, counts(1_000_000, 1)), 'passed');
    assert.equal(stateOf(pipeline, counts(999_999, 1)), 'breached');
    assert.equal(stateOf(pipeline, counts(9_000_000_000_000, 9_000_000)), 'passed');
    assert.equal(stateOf(pipeline, counts(9_000_000_000_000, 9_000_001)), 'breached');
    assert.equal(stateOf(pipeline, counts(0, 0)), 'passed');
  });

  it('about completeness counts rows without a value', () => {
    const pipeline = warn({ kind: 'complete', column: 'n', min: '99.5%' });
    assert.equal(stateOf(pipeline, { measures: { 'complete:n': { rows: 200, off: 1 } } }), 'passed');
    assert.equal(stateOf(pipeline, { measures: { 'complete:n': { rows: 199, off: 1 } } }), 'breached');
  });

  it('about uniqueness compares rows with different keys, and is breached where there were too many to count', () => {
    const pipeline = warn({ kind: 'unique', columns: ['id'] });
    const measures = { 'unique:id': { rows: 3, off: 0 } };
    assert.equal(stateOf(pipeline, { measures, distinct: new Map([[0, 3]]) }), 'passed');
    assert.equal(stateOf(pipeline, { measures, distinct: new Map([[0, 2]]) }), 'breached');
    assert.equal(stateOf(pipeline, { measures, distinct: undefined }), 'breached');
  });

  it('about freshness compares the newest row with the acceptance of the run', () => {
    const pipeline = warn({ kind: 'fresh', column: 'at', within: '1h' });
    const newest = (text: string) => ({
      measures: { 'fresh:at': { rows: 1, off: 0, newestMs: Date.parse(text) } },
    });
    assert.equal(stateOf(pipeline, newest('2026-11-28T11:00:00Z')), 'passed');
    assert.equal(stateOf(pipeline, newest('2026-11-28T10:59:59.999Z')), 'breached');
    assert.equal(stateOf(pipeline, newest('2027-01-01T00:00:00Z')), 'passed');
    assert.equal(stateOf(pipeline, {}), 'passed');
  });

  it('about rows compares with the median of earlier runs, of which the first has none', () => {
    const pipeline = warn({ kind: 'rows', min: 10, change: '50%' });
    const emitted = (rows: number, ...earlierRows: number[]) => ({
      counts: { ...zeroCounts, emitted: rows },
      earlierRows,
    });
    assert.equal(stateOf(pipeline, emitted(9)), 'breached');
    assert.equal(stateOf(pipeline, emitted(10)), 'passed');
    assert.equal(stateOf(pipeline, emitted(150, 100, 1, 10_000)), 'passed');
    assert.equal(stateOf(pipeline, emitted(151, 100, 1, 10_000)), 'breached');
    assert.equal(stateOf(pipeline, emitted(49, 99, 100)), 'breached');
    assert.equal(stateOf(pipeline, emitted(50, 99, 100)), 'passed');
  });

  it('of its own is breached by anything but true', () => {
    const custom = (check: unknown) => warn({ kind: 'custom', name: 'own', check });
    const counts = { ...zeroCounts, read: 4, filtered: 3 };
    // biome-ignore lint/suspicious/noExplicitAny: as an author writes it
    const fewFiltered = ({ read, filtered }: any) => filtered * 2 <= read;
    assert.equal(stateOf(custom(fewFiltered), { counts }), 'breached');
    assert.equal(stateOf(custom(fewFiltered), { counts: { ...counts, filtered: 2 } }), 'passed');
    for (const answer of [undefined, 1, 'true', Promise.resolve(true)])
      assert.equal(
        stateOf(
          custom(() => answer),
          { counts },
        ),
        'breached',
      );
    assert.equal(
      stateOf(
        custom(() => assert.fail()),
        { counts },
      ),
      'breached',
    );
  });

  it('about a whole run is skipped in a redrive, and one about rows is not', () => {
    const pipeline = define({
      maxRejected: '0%',
      rules: [
        { kind: 'rows', min: 9 },
        { kind: 'complete', column: 'n' },
      ],
      onBreach: 'fail',
    });
    const result = assessQuality(pipeline.manifest.quality!, pipeline.quality, {
      ...nothing,
      counts: { ...zeroCounts, read: 1, rejected: 1 },
      measures: { 'complete:n': { rows: 1, off: 1 } },
      isRedrive: true,
    });
    assert.deepEqual(
      result.rules.map(({ state }) => state),
      ['skipped', 'skipped', 'breached'],
    );
    assert.deepEqual(
      [result.state, breachesOf(result).map(({ rule }) => rule)],
      ['breached', ['complete:n']],
    );
  });
});

it('measures of batches add up in any order', () => {
  const [a, b, c] = [
    { x: { rows: 1, off: 1 }, t: { rows: 1, off: 0, newestMs: 5 } },
    { x: { rows: 2, off: 0 }, t: { rows: 0, off: 0 } },
    { t: { rows: 1, off: 0, newestMs: 9 } },
  ];
  const sum = { x: { rows: 3, off: 1 }, t: { rows: 2, off: 0, newestMs: 9 } };
  assert.deepEqual(addMeasures(addMeasures(a, b), c), sum);
  assert.deepEqual(addMeasures(c, addMeasures(b, a)), sum);
});
