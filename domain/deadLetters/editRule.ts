import { z } from 'zod';

const token = z.string().max(300);
const pointer = z
  .string()
  .max(1_000)
  .regex(/^(\/([^~/]|~[01])*)*$/, 'must be a JSON Pointer (RFC 6901)');

/** One operation of a JSON Patch (RFC 6902). */
const Operation = z.discriminatedUnion('op', [
  z.strictObject({ op: z.enum(['add', 'replace', 'test']), path: pointer, value: z.unknown() }),
  z.strictObject({ op: z.literal('remove'), path: pointer }),
  z.strictObject({ op: z.enum(['move', 'copy']), from: pointer, path: pointer }),
]);

/** How many records are edited at once: some fields get a value, or a JSON Patch is applied. */
export const EditRule = z.union([
  z.strictObject({
    set: z
      .record(token, z.unknown())
      .describe(
        'Values by dotted path, such as `{ "customer.country": "AT" }`. The objects around a field must be there.',
      ),
  }),
  z.strictObject({ patch: z.array(Operation).min(1).max(50).describe('A JSON Patch (RFC 6902).') }),
]);
export type EditRule = z.infer<typeof EditRule>;

/** Applies the rule to the record, in place. `false`: it does not apply, for a place is not there or a `test` does not hold. */
export function applyRule(rule: EditRule, record: object): boolean {
  if ('set' in rule)
    return Object.entries(rule.set).every(([path, value]) => change(record, path.split('.'), { put: value }));
  return rule.patch.every((operation) => perform(operation, record));
}

function perform(operation: z.infer<typeof Operation>, record: object): boolean {
  const path = tokensOf(operation.path);
  switch (operation.op) {
    case 'add':
      return change(record, path, { put: operation.value, inserts: true });
    case 'replace':
      return find(record, path) !== undefined && change(record, path, { put: operation.value });
    case 'test':
      return JSON.stringify(find(record, path)?.value) === JSON.stringify(operation.value);
    case 'remove':
      return change(record, path, { remove: true });
    default: {
      const from = tokensOf(operation.from);
      const found = find(record, from);
      if (!found) return false;
      if (operation.op === 'move' && !change(record, from, { remove: true })) return false;
      return change(record, path, { put: found.value, inserts: true });
    }
  }
}

function tokensOf(path: string): string[] {
  return path
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function find(record: unknown, path: readonly string[]): { value: unknown } | undefined {
  let value = record;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return { value };
}

/** The record itself is never the place: a rule edits what is in it. */
function change(
  record: object,
  path: readonly string[],
  how: { put: unknown; inserts?: boolean } | { remove: true },
): boolean {
  const name = path.at(-1);
  const parent = find(record, path.slice(0, -1))?.value;
  if (name === undefined || unsafe.has(name) || typeof parent !== 'object' || parent === null) return false;
  if (Array.isArray(parent)) {
    const at =
      name === '-' && 'put' in how
        ? parent.length
        : /^(0|[1-9]\d{0,6})$/.test(name)
          ? Number(name)
          : Number.NaN;
    const inserts = 'put' in how && how.inserts === true;
    if (!(at < parent.length || (inserts && at === parent.length))) return false;
    if ('remove' in how) parent.splice(at, 1);
    else parent.splice(at, inserts ? 0 : 1, how.put);
    return true;
  }
  if ('remove' in how) return Object.hasOwn(parent, name) && delete (parent as Record<string, unknown>)[name];
  (parent as Record<string, unknown>)[name] = how.put;
  return true;
}

const unsafe: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
