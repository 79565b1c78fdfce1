import { z } from 'zod';
import { parseDuration } from '../duration.ts';
import { plainDecimal } from '../json/decimalText.ts';
import { DefinitionError } from '../pipelines/definitionError.ts';
import type { Column, SqlType } from '../pipelines/manifest.ts';
import type { QualityCode, QualityManifest, QualityRuleManifest } from './quality.ts';
import { onBreaches, type QualityCounts } from './qualityTerms.ts';

const rulesMax = 32;
const valuesMax = 1_000;
const shareText =
  'must be a percentage from 0% to 100% with at most four digits after the point, such as “1%”';
const share = z.string().regex(/^(?:100(?:\.0{1,4})?|\d{1,2}(?:\.\d{1,4})?)%$/, shareText);
const column = z.string();
const bound = z.union([z.number(), z.bigint(), z.string().max(1_000)]);
const rows = z.int().min(0);
const ruleName = /^[a-zA-Z][a-zA-Z0-9_.:+-]{0,99}$/;
const name = z.string().regex(ruleName, 'must be a letter and up to 99 of letters, digits and _ . : + -');
const named = { name: name.optional() };

const WrittenRule = z.discriminatedUnion('kind', [
  z.strictObject({ ...named, kind: z.literal('complete'), column, min: share.default('100%') }),
  z.strictObject({
    ...named,
    kind: z.literal('unique'),
    columns: z.array(column).min(1).max(16),
    maxDuplicates: share.default('0%'),
  }),
  z
    .strictObject({
      ...named,
      kind: z.literal('range'),
      column,
      min: bound.optional(),
      max: bound.optional(),
      maxOutside: share.default('0%'),
    })
    .refine(({ min, max }) => min !== undefined || max !== undefined, 'needs min or max'),
  z.strictObject({
    ...named,
    kind: z.literal('set'),
    column,
    values: z
      .array(z.union([z.string(), z.number(), z.bigint(), z.boolean()]))
      .min(1)
      .max(valuesMax),
    maxOutside: share.default('0%'),
  }),
  z.strictObject({
    ...named,
    kind: z.literal('fresh'),
    column,
    within: z
      .string()
      .refine((text) => parseDuration(text) !== undefined, 'must be a duration such as 90m, 24h or 2d'),
  }),
  z
    .strictObject({
      ...named,
      kind: z.literal('rows'),
      min: rows.optional(),
      max: rows.optional(),
      change: z
        .string()
        .regex(/^\d{1,4}(?:\.\d{1,4})?%$/, 'must be a percentage such as “50%”')
        .optional(),
      runs: z.int().min(1).max(30).default(5),
    })
    .refine(
      ({ min, max, change }) => min !== undefined || max !== undefined || change !== undefined,
      'needs min, max or change',
    )
    .refine(({ min = 0, max = Infinity }) => min <= max, 'has a min above its max'),
  z.strictObject({
    kind: z.literal('custom'),
    name,
    check: z.custom<(counts: QualityCounts) => unknown>(
      (value) => typeof value === 'function',
      'must be a function',
    ),
  }),
]);

/** The field `quality` of a definition, as it is written. */
export const WrittenQuality = z.strictObject({
  maxRejected: share.optional(),
  rules: z.array(WrittenRule).max(rulesMax).default([]),
  onBreach: z.enum(onBreaches),
});

type WrittenRule = z.output<typeof WrittenRule>;

/**
 * Splits what is written into what the manifest carries and the code beside it. Rules are about columns of the output, each of a type
 * that the rule can compare. Throws `DefinitionError`.
 */
export function describeQuality(
  { maxRejected, rules, onBreach }: z.output<typeof WrittenQuality>,
  { columns, gate }: { columns: readonly Column[]; gate: string | undefined },
): { terms: QualityManifest; code: QualityCode } {
  if (maxRejected === undefined && rules.length === 0) fail('rules', 'needs a rule, or leave quality out');
  if (onBreach === 'hold' && gate !== 'publish')
    fail('onBreach', 'is “hold”, so say who may approve: approval: { before: “publish”, by: … }');
  const code: Record<string, (counts: QualityCounts) => unknown> = {};
  const described: QualityRuleManifest[] = [
    ...(maxRejected === undefined
      ? []
      : [{ name: 'maxRejected', kind: 'rejected' as const, max: maxRejected }]),
    ...rules.map((rule, i) => {
      if (rule.kind === 'custom') code[rule.name] = rule.check;
      return describeRule(rule, `rules.${i}`, columns);
    }),
  ];
  const names = described.map((rule) => rule.name);
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) fail('rules', `has two rules “${repeated}”; give one of them another name`);
  return { terms: { onBreach, rules: described }, code };
}

function describeRule(rule: WrittenRule, path: string, columns: readonly Column[]): QualityRuleManifest {
  const find = (name: string) =>
    columns.find((one) => one.name === name) ??
    fail(path, `names “${name}”, which is not a field of the output`);
  switch (rule.kind) {
    case 'complete': {
      const { kind, column, min } = rule;
      find(column);
      return { name: nameOf(rule, column), kind, column, min };
    }
    case 'unique': {
      const { kind, columns: together, maxDuplicates } = rule;
      for (const one of together) find(one);
      return { name: nameOf(rule, together.join('+')), kind, columns: together, maxDuplicates };
    }
    case 'range': {
      const { kind, column, maxOutside } = rule;
      const { type } = find(column);
      const [min, max] = [rule.min, rule.max].map((one) =>
        one === undefined ? undefined : boundText(one, type, path),
      );
      if (min !== undefined && max !== undefined && compareBy(type)(min, max) > 0)
        fail(path, 'has a min above its max');
      return {
        ...{ name: nameOf(rule, column), kind, column },
        ...(min !== undefined && { min }),
        ...(max !== undefined && { max }),
        maxOutside,
      };
    }
    case 'set': {
      const { kind, column, maxOutside } = rule;
      const { type } = find(column);
      const values = rule.values.map((value) => valueText(value, type, path));
      return { name: nameOf(rule, column), kind, column, values, maxOutside };
    }
    case 'fresh': {
      const { kind, column, within } = rule;
      const { type } = find(column);
      if (type !== 'timestamptz' && type !== 'date')
        fail(path, `cannot tell how old “${column}” is, a column ${type}: name one of times or dates`);
      return { name: nameOf(rule, column), kind, column, withinMs: parseDuration(within)! };
    }
    case 'rows': {
      const { kind, min, max, change, runs } = rule;
      return {
        ...{ name: rule.name ?? kind, kind },
        ...(min !== undefined && { min }),
        ...(max !== undefined && { max }),
        ...(change !== undefined && { change }),
        runs,
      };
    }
    case 'custom':
      return { name: rule.name, kind: rule.kind };
  }
}

/** By default the kind and what it is about. */
function nameOf({ name, kind }: { name?: string | undefined; kind: string }, about: string): string {
  return name ?? `${kind}:${about}`;
}

const numbers: readonly SqlType[] = ['integer', 'bigint', 'double precision', 'numeric'];
const isDate = /^\d{4}-\d\d-\d\d$/;

function boundText(value: number | bigint | string, type: SqlType, path: string): string {
  const text = String(value);
  if (type === 'date') return isDate.test(text) ? text : fail(path, `compares dates with “${text}”`);
  if (numbers.includes(type)) return plainDecimal(text) ?? fail(path, `compares numbers with “${text}”`);
  return fail(path, `cannot compare a column ${type}: a range is of numbers or dates`);
}

/** As the texts of columns are, so that equal values are equal texts. */
function valueText(value: string | number | bigint | boolean, type: SqlType, path: string): string {
  const mismatch = () =>
    fail(path, `holds ${JSON.stringify(String(value))}, which is no value of a column ${type}`);
  if (type === 'boolean') return typeof value === 'boolean' ? (value ? 't' : 'f') : mismatch();
  if (typeof value === 'boolean') return mismatch();
  if (numbers.includes(type)) return plainDecimal(String(value)) ?? mismatch();
  if (typeof value !== 'string') return mismatch();
  if (type === 'text') return value;
  if (type === 'uuid') return value.toLowerCase();
  if (type === 'date') return isDate.test(value) ? value : mismatch();
  return fail(path, `cannot compare a column ${type} with a set of values`);
}

/** Orders the texts of a column of numbers or dates, exactly. */
export function compareBy(type: SqlType): (a: string, b: string) => number {
  switch (type) {
    case 'integer':
    case 'double precision':
      return (a, b) => Number(a) - Number(b);
    case 'date':
      return (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    default:
      return compareDecimals;
  }
}

/** Of plain decimals, as `plainDecimal` gives them. */
function compareDecimals(a: string, b: string): number {
  const [negativeA, negativeB] = [a.startsWith('-'), b.startsWith('-')];
  if (negativeA !== negativeB) return negativeA ? -1 : 1;
  const [wholeA, fractionA = ''] = a.slice(negativeA ? 1 : 0).split('.');
  const [wholeB, fractionB = ''] = b.slice(negativeB ? 1 : 0).split('.');
  const size =
    wholeA!.length - wholeB!.length ||
    (wholeA! < wholeB!
      ? -1
      : wholeA! > wholeB!
        ? 1
        : fractionA < fractionB
          ? -1
          : fractionA > fractionB
            ? 1
            : 0);
  return negativeA ? -size : size;
}

function fail(path: string, message: string): never {
  throw new DefinitionError('quality', [{ path, message }]);
}
