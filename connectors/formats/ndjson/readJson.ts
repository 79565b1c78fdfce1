import type { RejectionCode } from '../../../domain/runs/rejection.ts';

/** How deep a record may nest. Recursion over its value is safe below. */
const depthMax = 64;

/** One record of NDJSON: an object that is safe to hand on, or why it is none. */
export function readJson(text: string): { value: object } | RejectionCode {
  if (isTooDeep(text)) return 'TooDeep';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text.includes('\0') ? 'NulByte' : 'MalformedJson';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'NotAnObject';
  return (suspicious.test(text) && inspect(value)) || { value };
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

/** Known before parsing, so that no stack is spent on it. Few records have enough brackets to need a close look. */
function isTooDeep(text: string): boolean {
  let brackets = 0;
  for (const bracket of ['{', '[']) {
    for (
      let at = text.indexOf(bracket);
      at >= 0 && brackets <= depthMax;
      at = text.indexOf(bracket, at + 1)
    ) {
      brackets++;
    }
  }
  return brackets > depthMax && depthOf(text) > depthMax;
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) i++;
      else if (c === 0x22) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x7b || c === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (c === 0x7d || c === 0x5d) depth--;
  }
  return deepest;
}
