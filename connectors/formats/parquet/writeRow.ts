import { isUtf8 } from 'node:buffer';
import type { Convert } from './exactColumns.ts';

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
  if (value instanceof Uint8Array) return isUtf8(value) ? JSON.stringify(decoder.decode(value)) : 'NaN';
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return `[${Array.from(value as never[], write).join(',')}]`;
  if (value instanceof Map) return writeObject(Object.fromEntries(value));
  return `{${Object.entries(value)
    .map(([name, part]) => `${quoted(name)}:${write(part)}`)
    .join(',')}}`;
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const names = new Map<string, string>();

function quoted(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  const made = JSON.stringify(name);
  if (names.size < 10_000) names.set(name, made);
  return made;
}
