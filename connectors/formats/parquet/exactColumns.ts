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
  const maps = new Set(
    all(root)
      .filter((node) => isMap(node, originals))
      .map(({ element }) => element),
  );
  for (const [element, original] of originals) {
    if (!leafOf(original) && !maps.has(element)) continue;
    delete element.converted_type;
    delete element.logical_type;
  }
  return new Map(columns);
}

function all(node: SchemaTree): SchemaTree[] {
  return [node, ...node.children.flatMap(all)];
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
  const fields = (isMap(node, originals) ? inner! : node).children.flatMap((child): [string, Convert][] => {
    const convert = converterOf(child, originals);
    return convert ? [[child.element.name, convert]] : [];
  });
  if (isMap(node, originals)) {
    const [key, value] = inner!.children.map(({ element }) => element.name) as [string, string];
    return (map) => entriesOf(map, { list: inner!.element.name, key, value }, new Map(fields));
  }
  if (fields.length === 0) return undefined;
  return repeated(element, (value) => {
    const struct = { ...(value as Record<string, unknown>) };
    for (const [name, convert] of fields) if (struct[name] != null) struct[name] = convert(struct[name]);
    return struct;
  });
}

/** The entries of a map as they are stored: two may have one key, and a key may be anything. */
export class MapEntries {
  readonly entries: readonly (readonly [key: unknown, value: unknown])[];

  constructor(entries: readonly (readonly [unknown, unknown])[]) {
    this.entries = entries;
  }
}

function isMap(node: SchemaTree, originals: ReadonlyMap<SchemaElement, SchemaElement>): boolean {
  const { logical_type: logical, converted_type: old } = originals.get(node.element) ?? node.element;
  const isAnnotated = logical?.type === 'MAP' || old === 'MAP' || old === 'MAP_KEY_VALUE';
  return isAnnotated && node.children.length === 1 && node.children[0]!.children.length === 2;
}

/** Without its annotation a map is a struct of a list of entries. */
function entriesOf(
  map: unknown,
  names: { list: string; key: string; value: string },
  converts: ReadonlyMap<string, Convert>,
): MapEntries {
  const list = ((map as Record<string, unknown>)[names.list] ?? []) as Record<string, unknown>[];
  const part = (entry: Record<string, unknown>, name: string) => {
    const value = entry[name];
    return value == null ? null : (converts.get(name)?.(value) ?? value);
  };
  return new MapEntries(list.map((entry) => [part(entry, names.key), part(entry, names.value)]));
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
  if (logical?.type === 'DATE' || old === 'DATE')
    return (value) => (Math.abs(Number(value)) > daysMax ? Number.NaN : isoDay(Number(value)));
  if (type === 'INT96') return (value) => isoTime(BigInt(value as bigint), 'NANOS', 'Z');
  if (logical?.type === 'TIMESTAMP')
    return (value) => isoTime(BigInt(value as bigint), logical.unit, logical.isAdjustedToUTC ? 'Z' : '');
  if (old === 'TIMESTAMP_MILLIS') return (value) => isoTime(BigInt(value as bigint), 'MILLIS', 'Z');
  if (old === 'TIMESTAMP_MICROS') return (value) => isoTime(BigInt(value as bigint), 'MICROS', 'Z');
  if (logical?.type === 'TIME') return (value) => clockTime(BigInt(value as bigint), logical.unit);
  if (old === 'TIME_MILLIS') return (value) => clockTime(BigInt(value as number), 'MILLIS');
  if (old === 'TIME_MICROS') return (value) => clockTime(BigInt(value as bigint), 'MICROS');
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
/** Beyond these days from 1970 a `Date` has no value; what is written then is no JSON, so that the reader rejects the row. */
const daysMax = 100_000_000;

function isoDay(days: number): string {
  return new Date(days * dayMs).toISOString().replace(/T.*/, '');
}

const fractionDigits = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const;

function isoTime(value: bigint, unit: keyof typeof fractionDigits, zone: string): unknown {
  const digits = fractionDigits[unit];
  const perSecond = 10n ** BigInt(digits);
  const near = value > -safe && value < safe;
  // Arithmetic on bigints costs ten times as much.
  const seconds = near
    ? Math.floor(Number(value) / 10 ** digits)
    : Number((value - (((value % perSecond) + perSecond) % perSecond)) / perSecond);
  if (Math.abs(seconds) > daysMax * 86_400) return Number.NaN;
  const fraction = near
    ? Number(value) - seconds * 10 ** digits
    : Number(value - BigInt(seconds) * perSecond);
  const rest = fraction === 0 ? '' : `.${String(fraction).padStart(digits, '0').replace(/0+$/, '')}`;
  return secondText(seconds) + rest + zone;
}

/** A time of day lies within the first of January 1970. */
function clockTime(value: bigint, unit: keyof typeof fractionDigits): unknown {
  const text = isoTime(value, unit, '');
  return typeof text === 'string' && text.startsWith('1970-01-01T') ? text.slice(11) : Number.NaN;
}

const safe = BigInt(Number.MAX_SAFE_INTEGER);
/** Times of one day mostly come together. */
const lastDay = { day: Number.NaN, text: '' };

/** Without a fraction and a zone. */
function secondText(seconds: number): string {
  const day = Math.floor(seconds / 86_400);
  if (day !== lastDay.day) {
    lastDay.text = isoDay(day);
    lastDay.day = day;
  }
  const rest = seconds - day * 86_400;
  const hours = Math.floor(rest / 3_600);
  const minutes = Math.floor(rest / 60) % 60;
  return `${lastDay.text}T${twoDigits[hours]}:${twoDigits[minutes]}:${twoDigits[rest % 60]}`;
}

const twoDigits = Array.from({ length: 60 }, (_, i) => String(i).padStart(2, '0'));
