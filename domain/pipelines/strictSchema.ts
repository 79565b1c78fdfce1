import type { z } from 'zod';
import { DefinitionError } from './definitionError.ts';
import { defOf, partsOf } from './schemaParts.ts';

/**
 * Every object of a schema must say what becomes of fields that it does not name. `z.object` drops them without a
 * word, which is how data gets lost: it is refused, wherever it stands. The schema itself is a strict object;
 * inside it `z.looseObject` and `.catchall()` are fine, for they say so. Throws `DefinitionError`.
 */
export function checkStrict(subject: string, schema: z.core.$ZodType): void {
  const def = defOf(schema);
  if (def.type !== 'object') fail(subject, '', 'must be an object schema: z.strictObject({ … })');
  if (def.catchall?._zod.def.type !== 'never') fail(subject, '', 'must be strict: z.strictObject({ … })');
  for (const [part, path] of partsOf(schema, ''))
    if (part !== def.catchall) walk(subject, part, path, new Set());
}

function walk(subject: string, schema: z.core.$ZodType, path: string, seen: Set<z.core.$ZodType>): void {
  if (seen.has(schema)) return;
  seen.add(schema);
  const def = defOf(schema);
  if (def.type === 'object' && !def.catchall) {
    fail(subject, path, 'drops fields that it does not name. Use z.strictObject or z.looseObject');
  }
  if (def.type === 'boolean' && def.coerce)
    fail(
      subject,
      path,
      'z.coerce.boolean() makes true of every text but the empty one, of “false” too. Use z.boolean(), z.stringbool() or text.boolean()',
    );
  if (unserialisable.has(def.type))
    fail(subject, path, `z.${def.type}() cannot travel between the steps of a run`);
  for (const [part, at] of partsOf(schema, path)) walk(subject, part, at, seen);
}

/** Between steps a record is JSON, with dates and bigints marked; these have no such form. */
const unserialisable: ReadonlySet<string> = new Set([
  'map',
  'set',
  'symbol',
  'function',
  'promise',
  'file',
  'nan',
]);

function fail(subject: string, path: string, message: string): never {
  throw new DefinitionError(subject, [{ path, message }]);
}
