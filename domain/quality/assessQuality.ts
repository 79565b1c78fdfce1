import type { Counts } from '../runs/run.ts';
import {
  type Measure,
  type Measures,
  type QualityCode,
  type QualityManifest,
  type QualityResult,
  type QualityRuleManifest,
  type QualityRuleResult,
  qualityKeysMax,
} from './quality.ts';

/** What was measured of a run. */
export interface QualityFindings {
  counts: Counts;
  measures: Measures;
  /** By the ordinal of a `unique` rule: how many different keys; `undefined`: too many keys to count. */
  distinct: ReadonlyMap<number, number> | undefined;
  /** Rows of the last completed runs of the same pipeline and version, the newest first. */
  earlierRows: readonly number[];
  /** Whether the records are dead letters: such a run is a few records of others. */
  isRedrive: boolean;
  /** When the run was accepted, in milliseconds since 1970. */
  acceptedMs: number;
}

/** Compares what was measured of a run with the rules of its definition. The same findings give the same result. */
export function assessQuality(
  { onBreach, rules }: QualityManifest,
  code: QualityCode,
  findings: QualityFindings,
): QualityResult {
  const results = rules.map((rule, ordinal): QualityRuleResult => {
    const { name, kind } = rule;
    const about = { rule: name, kind, expected: expectationOf(rule) };
    if (findings.isRedrive && ofWholeRuns.has(kind))
      return { ...about, state: 'skipped', found: 'does not apply to a redrive' };
    return { ...about, ...assess(rule, ordinal, code, findings) };
  });
  const isBreached = results.some(({ state }) => state === 'breached');
  return { onBreach, state: isBreached ? 'breached' : 'passed', rules: results };
}

/** Kinds that say nothing about single rows. */
const ofWholeRuns: ReadonlySet<QualityRuleManifest['kind']> = new Set([
  'rejected',
  'fresh',
  'rows',
  'custom',
]);

type Outcome = Pick<QualityRuleResult, 'state' | 'found' | 'rows' | 'off'>;

const nothing: Measure = { rows: 0, off: 0 };

function assess(
  rule: QualityRuleManifest,
  ordinal: number,
  code: QualityCode,
  { counts, measures, distinct, earlierRows, acceptedMs }: QualityFindings,
): Outcome {
  const measure = measures[rule.name] ?? nothing;
  switch (rule.kind) {
    case 'rejected':
      return atMost(rule.max, counts.read, counts.rejected, 'records rejected');
    case 'complete':
      return atMost(complementOf(rule.min), measure.rows, measure.off, 'rows without a value');
    case 'range':
      return atMost(rule.maxOutside, measure.rows, measure.off, 'rows outside');
    case 'set':
      return atMost(rule.maxOutside, measure.rows, measure.off, 'rows with another value');
    case 'unique': {
      if (!distinct)
        return {
          state: 'breached',
          found: `not measured: more than ${qualityKeysMax} keys`,
          rows: measure.rows,
        };
      const repeated = measure.rows - (distinct.get(ordinal) ?? 0);
      return atMost(rule.maxDuplicates, measure.rows, repeated, 'rows that repeat another');
    }
    case 'fresh': {
      if (measure.newestMs === undefined) return { state: 'passed', found: 'no row has a time', rows: 0 };
      const ageMs = Math.max(0, acceptedMs - measure.newestMs);
      const found = `the newest row is ${durationText(ageMs)} older than the run`;
      return { state: stateOf(ageMs > rule.withinMs), found, rows: measure.rows };
    }
    case 'rows':
      return compareRows(rule, counts.emitted, earlierRows);
    case 'custom':
      return check(code[rule.name], counts);
  }
}

function atMost(share: string, rows: number, off: number, what: string): Outcome {
  const isBreached = BigInt(off) * millionTimes100 > millionthsOf(share) * BigInt(rows);
  const found = rows === 0 ? 'nothing to measure' : `${off} of ${rows} ${what} (${percent(off, rows)})`;
  return { state: stateOf(isBreached), found, rows, off };
}

function compareRows(
  { min, max, change }: Extract<QualityRuleManifest, { kind: 'rows' }>,
  rows: number,
  earlierRows: readonly number[],
): Outcome {
  const tooFew = min !== undefined && rows < min;
  const tooMany = max !== undefined && rows > max;
  if (change === undefined) return { state: stateOf(tooFew || tooMany), found: `${rows} rows`, rows };
  if (earlierRows.length === 0)
    return { state: stateOf(tooFew || tooMany), found: `${rows} rows; no earlier run to compare with`, rows };
  const usual = medianOf(earlierRows);
  // Twice, since a median may end in a half.
  const difference = BigInt(Math.abs(2 * rows - 2 * usual));
  const differs = difference * millionTimes100 > millionthsOf(change) * BigInt(2 * usual);
  const found = `${rows} rows; the median of ${earlierRows.length} earlier runs is ${usual}`;
  return { state: stateOf(tooFew || tooMany || differs), found, rows };
}

function medianOf(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function check(code: QualityCode[string] | undefined, counts: Counts): Outcome {
  const { read, passed, filtered, rejected, emitted } = counts;
  let answer: unknown;
  try {
    answer = code?.(Object.freeze({ read, passed, filtered, rejected, emitted }));
  } catch {
    return { state: 'breached', found: 'its check threw' };
  }
  if (answer !== true && answer !== false)
    return { state: 'breached', found: 'its check returned neither true nor false' };
  return { state: stateOf(!answer), found: answer ? 'its check returned true' : 'its check returned false' };
}

function stateOf(isBreached: boolean): 'passed' | 'breached' {
  return isBreached ? 'breached' : 'passed';
}

const shareDigits = 4;
/** 100 % with four digits after the point. */
const millionTimes100 = 1_000_000n;

/** A share in millionths. */
function millionthsOf(share: string): bigint {
  const [whole, fraction = ''] = share.slice(0, -1).split('.');
  return BigInt(whole!) * 10_000n + BigInt(fraction.padEnd(shareDigits, '0'));
}

/** What is left of 100 %. */
function complementOf(share: string): string {
  const left = 1_000_000n - millionthsOf(share);
  return `${left / 10_000n}.${String(left % 10_000n).padStart(shareDigits, '0')}%`;
}

function percent(part: number, whole: number): string {
  return `${Number(((part / whole) * 100).toFixed(2))} %`;
}

function expectationOf(rule: QualityRuleManifest): string {
  switch (rule.kind) {
    case 'rejected':
      return `at most ${rule.max} of the records are rejected`;
    case 'complete':
      return `at least ${rule.min} of the rows have ${rule.column}`;
    case 'unique':
      return `at most ${rule.maxDuplicates} of the rows repeat ${rule.columns.join(' and ')}`;
    case 'range':
      return `at most ${rule.maxOutside} of ${rule.column} is outside ${rule.min ?? '…'} to ${rule.max ?? '…'}`;
    case 'set':
      return `at most ${rule.maxOutside} of ${rule.column} is none of ${rule.values.length} values`;
    case 'fresh':
      return `the newest ${rule.column} is at most ${durationText(rule.withinMs)} older than the run`;
    case 'rows': {
      const { min, max, change, runs } = rule;
      const parts = [
        ...(min === undefined ? [] : [`at least ${min} rows`]),
        ...(max === undefined ? [] : [`at most ${max} rows`]),
        ...(change === undefined ? [] : [`within ${change} of the median of the last ${runs} runs`]),
      ];
      return parts.join(', ');
    }
    case 'custom':
      return 'its check returns true';
  }
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** With its two largest units. */
function durationText(ms: number): string {
  let left = ms;
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const n = Math.floor(left / size);
    if (n > 0 && parts.length < 2) parts.push(`${n} ${unit}`);
    left -= n * size;
  }
  return parts.join(' ') || '0 s';
}
