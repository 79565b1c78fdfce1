import { refused, type TransformOutcome } from './applyTransform.ts';
import type { CallContext, EnrichCode } from './enrich.ts';
import { parseFirst } from './parseFirst.ts';
import type { AnyPipeline } from './pipeline.ts';

/** The recorded values of a batch, by the text of their key; `null` is a miss. */
export type Lookups = ReadonlyMap<string, unknown>;

/** The text by which a key is told from others; `undefined` where there is nothing to look up. Throws `TypeError`, and what `key` throws. */
export function lookupKeyOf({ key }: Pick<EnrichCode, 'key'>, record: unknown): string | undefined {
  const found: unknown = key(record as never);
  if (found === null || found === undefined) return undefined;
  if (!(Array.isArray(found) ? found : [found]).every(isKeyPart))
    throw new TypeError('The key of `enrich` is a text, a number, a boolean or a list of these.');
  const text = JSON.stringify(found);
  if (text.length > keyLengthMax)
    throw new TypeError(`The key of \`enrich\` is longer than ${keyLengthMax}.`);
  return text;
}

const keyLengthMax = 4_096;

function isKeyPart(part: unknown): boolean {
  return typeof part === 'string' || typeof part === 'boolean' || Number.isFinite(part);
}

/** The value of a record, or why the record is rejected. Throws what the code of `enrich` throws. */
export function findValue(
  { enrich, manifest }: Pick<AnyPipeline, 'enrich' | 'manifest'>,
  lookups: Lookups,
  record: unknown,
): { value: unknown } | (TransformOutcome & { kind: 'rejected' }) {
  const key = lookupKeyOf(enrich!, record);
  const found = key === undefined ? null : (lookups.get(key) ?? null);
  if (found === null)
    return manifest.enrich!.onMiss === 'null'
      ? { value: null }
      : refused('LookupMissed', '', 'No value was found for the record.');
  const parsed = parseFirst(enrich!.value, found, true);
  if (parsed.success) return { value: parsed.data };
  const { path, message } = parsed.issue;
  return refused('LookupMismatch', path.map(String).join('.'), `The value found does not fit: ${message}`);
}

/**
 * One call of the pipeline’s code: as many values as there are records, in JSON, since that is what is recorded. Throws `TypeError` for
 * another number, and what `call` throws.
 */
export async function callOnce(
  { call }: Pick<EnrichCode, 'call'>,
  records: readonly unknown[],
  context: CallContext,
): Promise<unknown[]> {
  const returned: unknown = await call(records as never[], context);
  const values: unknown = JSON.parse(JSON.stringify(returned) ?? 'null');
  if (Array.isArray(values) && values.length === records.length) return values;
  throw new TypeError(
    `\`call\` of \`enrich\` must return a list of ${records.length} values, one for each record`,
  );
}

/** Sums what calls cost, by unit. */
export class Costs {
  readonly sums: Record<string, number> = {};

  add(unit: string, amount: number): void {
    const isKnown = Object.hasOwn(this.sums, unit);
    if (!/^[a-z][A-Za-z]{0,31}$/.test(unit) || (!isKnown && Object.keys(this.sums).length >= unitsMax))
      throw new TypeError(`A batch counts up to ${unitsMax} units, each of up to 32 letters.`);
    if (!Number.isFinite(amount) || amount < 0) throw new TypeError('An amount is a number from 0 on.');
    this.sums[unit] = (isKnown ? this.sums[unit]! : 0) + amount;
  }
}

const unitsMax = 8;

/** The items in lists of at most `size`. */
export function inParts<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}

/** As a step records it. The same values give the same bytes. */
export function writeLookups(lookups: Lookups): string {
  return JSON.stringify([...lookups]);
}

export function readLookups(text: string): Lookups {
  return new Map(JSON.parse(text) as [string, unknown][]);
}
