import type { FileMetaData, SchemaElement, SchemaTree } from 'hyparquet';

/** What to write for a value that the library gives as it is stored; `undefined` where it has none. */
export type Convert = (value: unknown) => unknown;

/**
 * The library makes doubles of decimals and milliseconds of times. So their annotations are taken out of the schema, which makes
 * it hand on what is stored, and the converters here make text of that. By the name of the column.
 * Source: https://parquet.apache.org/docs/file-format/types/logicaltypes/
 */
export function exactColumns({ schema }: FileMetaData, root: SchemaTree): ReadonlyMap<string, Convert> {
  const originals = new Map(schema.map((element) => [element, { ...element }]));
  const columns = root.children.flatMap((node): [string, Convert][] => {
    const convert = converterOf(node, originals);
    return convert ? [[node.element.name, convert]] : [];
  });
  for (const [element, original] of originals) {
    if (!leafOf(original)) continue;
    delete element.converted_type;
    delete element.logical_type;
  }
  return new Map(columns);
}

/** Through lists, maps and structs; `undefined` where nothing inside changes. */
function converterOf(
  node: SchemaTree,
  originals: ReadonlyMap<SchemaElement, SchemaElement>,
): Convert | undefined {
  const element = originals.get(node.element) ?? node.element;
  if (node.children.length === 0) {
    const leaf = leafOf(element);
    return leaf && repeated(element, leaf);
  }
  const kind = element.logical_type?.type ?? element.converted_type;
  const [inner] = node.children;
  if (kind === 'LIST' && inner) {
    const item = inner.children.length === 1 ? inner.children[0]! : inner;
    const convert = converterOf(item, originals);
    return (
      convert &&
      ((value) => (Array.isArray(value) ? value.map((one) => (one == null ? one : convert(one))) : value))
    );
  }
  const fields = (kind === 'MAP' && inner ? inner : node).children.flatMap((child): [string, Convert][] => {
    const convert = converterOf(child, originals);
    return convert ? [[child.element.name, convert]] : [];
  });
  if (fields.length === 0) return undefined;
  const [, values] = kind === 'MAP' ? (fields.find(([name]) => name === 'value') ?? []) : [];
  if (kind === 'MAP') return values && ((value) => mapped(value as object, values));
  return repeated(element, (value) => {
    const struct = { ...(value as Record<string, unknown>) };
    for (const [name, convert] of fields) if (struct[name] != null) struct[name] = convert(struct[name]);
    return struct;
  });
}

function mapped(value: object, convert: Convert): object {
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, part == null ? part : convert(part)]),
  );
}

function repeated({ repetition_type }: SchemaElement, convert: Convert): Convert {
  if (repetition_type !== 'REPEATED') return convert;
  return (value) =>
    Array.isArray(value) ? value.map((one) => (one == null ? one : convert(one))) : convert(value);
}

function leafOf({
  type,
  converted_type: old,
  logical_type: logical,
  scale = 0,
}: SchemaElement): Convert | undefined {
  if (logical?.type === 'DECIMAL') return (value) => decimalText(unscaled(value), logical.scale);
  if (old === 'DECIMAL') return (value) => decimalText(unscaled(value), scale);
  if (logical?.type === 'DATE' || old === 'DATE') return (value) => isoDay(Number(value));
  if (type === 'INT96') return (value) => isoTime(BigInt(value as bigint), 'NANOS', 'Z');
  if (logical?.type === 'TIMESTAMP')
    return (value) => isoTime(BigInt(value as bigint), logical.unit, logical.isAdjustedToUTC ? 'Z' : '');
  if (old === 'TIMESTAMP_MILLIS') return (value) => isoTime(BigInt(value as bigint), 'MILLIS', 'Z');
  if (old === 'TIMESTAMP_MICROS') return (value) => isoTime(BigInt(value as bigint), 'MICROS', 'Z');
  if (logical?.type === 'TIME')
    return (value) => isoTime(BigInt(value as bigint), logical.unit, '').slice(11);
  if (old === 'TIME_MILLIS') return (value) => isoTime(BigInt(value as number), 'MILLIS', '').slice(11);
  if (old === 'TIME_MICROS') return (value) => isoTime(BigInt(value as bigint), 'MICROS', '').slice(11);
  return undefined;
}

/** Two’s complement, the highest byte first, where it is not an integer already. */
function unscaled(value: unknown): bigint {
  if (!(value instanceof Uint8Array)) return BigInt(value as number | bigint);
  let whole = 0n;
  for (const byte of value) whole = (whole << 8n) | BigInt(byte);
  return BigInt.asIntN(value.length * 8, whole);
}

function decimalText(whole: bigint, scale: number): string {
  if (scale === 0) return whole.toString();
  const digits = (whole < 0n ? -whole : whole).toString().padStart(scale + 1, '0');
  return `${whole < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

const dayMs = 86_400_000;

function isoDay(days: number): string {
  return new Date(days * dayMs).toISOString().replace(/T.*/, '');
}

const fractionDigits = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const;

function isoTime(value: bigint, unit: keyof typeof fractionDigits, zone: string): string {
  const digits = fractionDigits[unit];
  const perSecond = 10n ** BigInt(digits);
  const fraction = ((value % perSecond) + perSecond) % perSecond;
  const seconds = Number((value - fraction) / perSecond);
  const text = new Date(seconds * 1000).toISOString().replace(/\.000Z$/, '');
  const rest = fraction === 0n ? '' : `.${fraction.toString().padStart(digits, '0').replace(/0+$/, '')}`;
  return text + rest + zone;
}
