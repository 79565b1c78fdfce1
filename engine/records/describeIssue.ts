import type { z } from 'zod';
import { type RecordRejection, rejections } from '../../domain/runs/rejection.ts';

/** What a schema said about a record, as a rejection shows it: where, and the schema’s own message. */
export function describeIssue(first: z.core.$ZodIssue, record: unknown): RecordRejection {
  const { issue, path } = innermost(first);
  const code = rejectionOf(issue);
  if (code) return { code, path: pathText(path), message: issue.message.slice(0, messageMax) };
  if (issue.code === 'unrecognized_keys') {
    const at = [...path, issue.keys[0] ?? ''];
    return { code: 'UnknownField', path: pathText(at), message: rejections.UnknownField };
  }
  const value = valueAt(record, path);
  // The messages of zod say that a value is wrong; the author’s own ones stay.
  const missing = value === undefined && path.length > 0 && issue.message.startsWith('Invalid ');
  const message = missing
    ? 'The field is missing.'
    : repeats(issue.message, value)
      ? rejections.SchemaMismatch
      : issue.message;
  return { code: 'SchemaMismatch', path: pathText(path), message: message.slice(0, messageMax) };
}

/** A schema of Waybill’s own names the code, such as `NumberInexact`. */
function rejectionOf(issue: z.core.$ZodIssue): string | undefined {
  const named = issue.code === 'custom' ? issue.params?.rejection : undefined;
  return typeof named === 'string' && Object.hasOwn(rejections, named) ? named : undefined;
}

const messageMax = 500;
const pathMax = 256;

/** Of a union, the alternative that came closest says more than “Invalid input”. */
function innermost(issue: z.core.$ZodIssue): { issue: z.core.$ZodIssue; path: readonly PropertyKey[] } {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { issue, path: issue.path };
  const alternatives = issue.errors.filter((e) => e.length > 0).toSorted((a, b) => a.length - b.length);
  const [best, second] = alternatives;
  if (!best || best.length === second?.length) return { issue, path: issue.path };
  const inner = innermost(best[0]!);
  return { issue: inner.issue, path: [...issue.path, ...inner.path] };
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map(String).join('.').slice(0, pathMax);
}

/** A message that a pipeline composed may hold the value itself, which belongs in no log. */
function repeats(message: string, value: unknown): boolean {
  if (typeof value !== 'string' && typeof value !== 'number') return false;
  const text = String(value);
  return text.length > 2 && message.includes(text);
}

function valueAt(record: unknown, path: readonly PropertyKey[]): unknown {
  let value = record;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
