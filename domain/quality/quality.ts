import type { OnBreach, QualityCounts } from './qualityTerms.ts';

/** The quality rules of a definition, as its manifest carries them. Durations are milliseconds; shares are texts such as `1%`. */
export interface QualityManifest {
  onBreach: OnBreach;
  rules: readonly QualityRuleManifest[];
}

export type QualityRuleManifest = { readonly name: string } & (
  | { readonly kind: 'rejected'; readonly max: string }
  | { readonly kind: 'complete'; readonly column: string; readonly min: string }
  | { readonly kind: 'unique'; readonly columns: readonly string[]; readonly maxDuplicates: string }
  | {
      readonly kind: 'range';
      readonly column: string;
      readonly min?: string;
      readonly max?: string;
      readonly maxOutside: string;
    }
  | {
      readonly kind: 'set';
      readonly column: string;
      readonly values: readonly string[];
      readonly maxOutside: string;
    }
  | { readonly kind: 'fresh'; readonly column: string; readonly withinMs: number }
  | {
      readonly kind: 'rows';
      readonly min?: number;
      readonly max?: number;
      readonly change?: string;
      readonly runs: number;
    }
  | { readonly kind: 'custom' }
);

export const qualityKinds = [
  'rejected',
  'complete',
  'unique',
  'range',
  'set',
  'fresh',
  'rows',
  'custom',
] as const satisfies readonly QualityRuleManifest['kind'][];

/** The checks of custom rules, by name; they stay with the module. */
export type QualityCode = Readonly<Record<string, (counts: QualityCounts) => unknown>>;

/** What one rule sees of rows. Measures of batches add up to that of their run. Counts only: no value leaves the rows. */
export interface Measure {
  /** Rows that the rule is about. */
  rows: number;
  /** Those of them that break it. */
  off: number;
  /** Of `fresh`: the newest time, in milliseconds since 1970. */
  newestMs?: number;
}

/** By the name of a rule. */
export type Measures = Readonly<Record<string, Measure>>;

/** A key of a `unique` rule: the ordinal of the rule and the first bytes of a SHA-256 of the values. */
export const qualityKeyBytes = 17;

/** Of more keys than that in one run no rule says whether they are unique. */
export const qualityKeysMax = 10_000_000;

export function addMeasures(a: Measures, b: Measures): Measures {
  const sum: Record<string, Measure> = { ...a };
  for (const [name, measure] of Object.entries(b)) sum[name] = addMeasure(sum[name], measure);
  return sum;
}

function addMeasure(a: Measure = { rows: 0, off: 0 }, b: Measure): Measure {
  const newestMs = Math.max(a.newestMs ?? -Infinity, b.newestMs ?? -Infinity);
  return {
    rows: a.rows + b.rows,
    off: a.off + b.off,
    ...(Number.isFinite(newestMs) && { newestMs }),
  };
}

/** What the rules of a definition found in a run. It holds no value of a row. */
export interface QualityResult {
  onBreach: OnBreach;
  state: 'passed' | 'breached';
  rules: readonly QualityRuleResult[];
}

export interface QualityRuleResult {
  rule: string;
  kind: QualityRuleManifest['kind'];
  /** `skipped`: the rule does not apply to this run. */
  state: 'passed' | 'breached' | 'skipped';
  /** What the definition asks for. */
  expected: string;
  found: string;
  /** Of how many rows or records, and how many of these break the rule; absent where the rule counts none. */
  rows?: number;
  off?: number;
}

export function breachesOf({ rules }: Pick<QualityResult, 'rules'>): QualityRuleResult[] {
  return rules.filter(({ state }) => state === 'breached');
}

/** Their names. */
export function breachedRules(result: Pick<QualityResult, 'rules'>): string[] {
  return breachesOf(result).map(({ rule }) => rule);
}
