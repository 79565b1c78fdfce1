import { type Convert, MapEntries } from './exactColumns.ts';

/**
 * A row as a line of JSON. What JSON has no form for (NaN, bytes that are no UTF-8) is written as no JSON, so that the reader
 * rejects the row.
 */
export function writeRow(values: Record<string, unknown>, converts: ReadonlyMap<string, Convert>): string {
  let line = '';
  for (const name of Object.keys(values)) {
    const value = values[name];
    const convert = value == null ? undefined : converts.get(name);
    line += `${line === '' ? '' : ','}${quoted(name)}:${write(convert ? convert(value) : value)}`;
  }
  return `{${line}}`;
}

function write(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return String(value);
    case 'bigint':
      return value.toString();
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return value === null ? 'null' : writeObject(value);
    default:
      return 'null';
  }
}

function writeObject(value: object): string {
  if (value instanceof Uint8Array) return writeText(value);
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return `[${Array.from(value as never[], write).join(',')}]`;
  if (value instanceof MapEntries)
    return `{${value.entries.map(([key, part]) => `${writeKey(key)}:${write(part)}`).join(',')}}`;
  return `{${Object.entries(value)
    .map(([name, part]) => `${quoted(name)}:${write(part)}`)
    .join(',')}}`;
}

/** A key that is no text is the text of its value. */
function writeKey(key: unknown): string {
  const text = write(key);
  return text.startsWith('"') || text === 'NaN' || text === 'null' ? text : JSON.stringify(text);
}

function writeText(bytes: Uint8Array): string {
  try {
    return JSON.stringify(decoder.decode(bytes));
  } catch {
    return 'NaN';
  }
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
const names = new Map<string, string>();

function quoted(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const made = JSON.stringify(name);
  if (names.size < 10_000) names.set(name, made);
  return made;
}
