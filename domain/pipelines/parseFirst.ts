import { z } from 'zod';
import { checksOf, type Def, defOf, partsOf } from './schemaParts.ts';

type Parsed = { success: true; data: unknown } | { success: false; issue: z.core.$ZodIssue };

/**
 * `schema.safeParse`, but it describes the first issue only: a record with a million wrong items would otherwise take seconds and
 * a gigabyte for issues that no reader sees. Throws what the schema’s own code throws.
 * @param stopEarly also leaves out what comes after the first wrong item. Of a union the closest alternative is then not known
 */
export function parseFirst(schema: z.core.$ZodType, value: unknown, stopEarly: boolean): Parsed {
  const context = { async: false, abortEarly: stopEarly };
  const result = stopEarly
    ? runAborting(schema, value, context)
    : schema._zod.run({ value, issues: [] }, context);
  if (result instanceof Promise) throw new z.core.$ZodAsyncError();
  const [issue] = result.issues;
  if (!issue) return { success: true, data: result.value };
  return { success: false, issue: z.core.util.finalizeIssue(issue, context, z.core.config()) };
}

/** zod stops at an item only where its check aborts. A parse is synchronous, so that no other one sees the checks like this. */
function runAborting(
  schema: z.core.$ZodType,
  value: unknown,
  context: { async: boolean; abortEarly: boolean },
) {
  const checks = continuingChecks(schema);
  for (const check of checks) check.abort = true;
  try {
    return schema._zod.run({ value, issues: [] }, context);
  } finally {
    for (const check of checks) check.abort = false;
  }
}

const known = new WeakMap<z.core.$ZodType, readonly Def[]>();

function continuingChecks(schema: z.core.$ZodType): readonly Def[] {
  const found = known.get(schema);
  if (found) return found;
  const seen = new Set<z.core.$ZodType>();
  const checks: Def[] = [];
  const visit = (one: z.core.$ZodType): void => {
    if (seen.has(one)) return;
    seen.add(one);
    const def = defOf(one);
    checks.push(...[def, ...checksOf(def)].filter(({ check, abort }) => check !== undefined && !abort));
    for (const [part] of partsOf(one, '')) visit(part);
  };
  visit(schema);
  known.set(schema, checks);
  return checks;
}
