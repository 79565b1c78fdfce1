/**
 * Brings a record of an older version of a pipeline to the next one, by that version. Pure, and synchronous. The record is as its format
 * reads it, before any schema: a whole number beyond 2^53 is a bigint, and a decimal of many digits an `ExactNumber`.
 * @example { 1: (record) => ({ ...record, unit: 'kg' }) }
 */
export type Upgrade = Readonly<Record<number, (record: Record<string, unknown>) => Record<string, unknown>>>;

export function isUpgrade(value: unknown): value is Upgrade {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.entries(value).every(
    ([version, step]) => /^[1-9]\d{0,8}$/.test(version) && typeof step === 'function',
  );
}

/**
 * Step by step through the versions between; a version without a step left its records as they were. Throws `TypeError` for a step that
 * returns no object, and what a step throws.
 */
export function upgradeRecord(steps: Upgrade, record: object, from: number, to: number): object {
  let value: unknown = record;
  for (let version = from; version < to; version++) {
    const step = steps[version];
    if (!step) continue;
    value = step(value as Record<string, unknown>);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new TypeError(`The upgrade of version ${version} returned no object.`);
  }
  return value as object;
}
