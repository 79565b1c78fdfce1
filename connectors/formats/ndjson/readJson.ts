import type { ReadRecord } from '../../../domain/connectors/formatKind.ts';
import { parseExactJson } from '../../../domain/json/parseExactJson.ts';
import { scanJson } from '../../../domain/json/scanJson.ts';
import { type RejectionCode, rejections } from '../../../domain/runs/rejection.ts';

/** How deep a record may nest. Recursion over its value is safe below. */
const depthMax = 64;

/** One record of JSON: an object that is safe to hand on, or why it is none. */
export function readJson(text: string): ReadRecord {
  const { tooDeep, doubtful } = scanJson(text, depthMax);
  if (tooDeep) return 'TooDeep';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text.includes('\0') ? 'NulByte' : 'MalformedJson';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'NotAnObject';
  const exact = doubtful ? parseExactJson(text) : undefined;
  if (exact?.duplicateKey !== undefined)
    return { code: 'DuplicateKey', path: shownPath(exact.duplicateKey), message: rejections.DuplicateKey };
  const wrong = suspicious.test(text) && inspect(value);
  if (wrong) return wrong;
  return exact ? { value: exact.value as object, inexact: exact.inexact } : { value };
}

const pathMax = 256;

function shownPath(path: string): string {
  return path.slice(0, pathMax).replaceAll('\0', '\u{FFFD}').toWellFormed();
}

/** Text in which alone a value can hide that `inspect` refuses: keys by name, or characters as escapes. */
const suspicious = /__proto__|constructor|\\u(?:00[0-7]|[dD][89a-fA-F])/;

/** What is wrong inside a value, at any depth. */
export function inspect(value: unknown): RejectionCode | undefined {
  if (typeof value === 'string') return inspectText(value);
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, part] of Object.entries(value)) {
    if (key === '__proto__' || (key === 'constructor' && hasPrototype(part))) return 'UnsafeKey';
    const found = inspectText(key) ?? inspect(part);
    if (found) return found;
  }
  return undefined;
}

/** PostgreSQL keeps no NUL, and half a surrogate pair is no character. */
export function inspectText(text: string): RejectionCode | undefined {
  if (text.includes('\0')) return 'NulByte';
  return text.isWellFormed() ? undefined : 'InvalidUtf8';
}

/** A field called `constructor` is harmless by itself. */
function hasPrototype(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype');
}
