import type { z } from 'zod';
import { checksOf, type Def, defOf, partsOf } from '../../domain/pipelines/schemaParts.ts';

export interface SchemaTraits {
  /** What it returns equals what it was given, as JSON, so that the record’s own text can be passed on. */
  preserving: boolean;
  /** What it returns is JSON: no Date, no bigint, nothing that a transform of the pipeline made up. */
  json: boolean;
}

/** Looks once at a schema, so that the work on each record can be left out where it would change nothing. */
export function traitsOf(schema: z.core.$ZodType): SchemaTraits {
  const defs = [...reachable(schema)].map(defOf);
  const opaque = defs.some((def) => opaqueTypes.has(def.type));
  return {
    preserving: defs.every(isPreserving),
    json: defs.every(isJson) && !(opaque && defs.some((def) => reshapingTypes.has(def.type))),
  };
}

function reachable(schema: z.core.$ZodType, seen = new Set<z.core.$ZodType>()): Set<z.core.$ZodType> {
  if (seen.has(schema)) return seen;
  seen.add(schema);
  for (const [part] of partsOf(schema, '')) reachable(part, seen);
  const { keyType } = defOf(schema);
  return keyType ? reachable(keyType, seen) : seen;
}

const preservingTypes = new Set(
  'string number int boolean null never any unknown enum literal template_literal object array tuple record union optional nullable nonoptional readonly lazy'.split(
    ' ',
  ),
);

function isPreserving(def: Def): boolean {
  if (!preservingTypes.has(def.type) || def.coerce || def.normalize) return false;
  // An object without a catchall drops what it does not name.
  if (def.type === 'object' && !def.catchall) return false;
  return isJson(def) && checksOf(def).every((c) => c.check !== 'overwrite' && !c.normalize);
}

const jsonTypes = new Set([
  ...preservingTypes,
  ...'undefined void success intersection default prefault catch pipe'.split(' '),
]);

/** `any` and `unknown` return what they are given, which is JSON unless something before them made it. */
const opaqueTypes = new Set(['any', 'unknown']);
const reshapingTypes = new Set(['pipe', 'default', 'prefault', 'catch']);

function isJson(def: Def): boolean {
  if (!jsonTypes.has(def.type)) return false;
  if (def.type === 'pipe' && (def.transform || def.reverseTransform)) return false;
  if (def.type === 'literal') return def.values.every((value: unknown) => typeof value !== 'bigint');
  if (def.type === 'number' && checksOf(def).length === 0 && def.format === 'nan') return false;
  if (checksOf(def).some(isFree)) return false;
  if (references.has(def.type) && checksOf(def).some((c) => c.check === 'custom')) return false;
  return !checksOf(def).some((c) => c.check === 'overwrite' && def.type !== 'string');
}

/** `.check(fn)` and `.superRefine(fn)` may put another value in the place of what they are given. */
function isFree(check: Def): boolean {
  return check.check === 'custom' && typeof check.fn !== 'function';
}

/** What a `.refine(fn)` can change in place. */
const references = new Set('object array tuple record any unknown union lazy intersection'.split(' '));
