import type { z } from 'zod';

// zod’s own types tell definitions apart only by class; its documented `_zod.def` is what tools walk.
// biome-ignore lint/suspicious/noExplicitAny: the definitions of all schemas, told apart by `type`
export type Def = { type: string } & Record<string, any>;

export function defOf(schema: z.core.$ZodType): Def {
  return schema._zod.def as Def;
}

/** The names of the string and number formats that a schema has, by itself or by a check. */
export function formatsOf(def: Def): string[] {
  return [def, ...checksOf(def)].flatMap((d) => (d.format ? [d.format] : []));
}

export function checksOf(def: Def): Def[] {
  return ((def.checks ?? []) as z.core.$ZodCheck[]).map((check) => check._zod.def as unknown as Def);
}

/** The schemas directly inside one, each with the path that leads to it from `path`. */
export function partsOf(schema: z.core.$ZodType, path: string): [z.core.$ZodType, string][] {
  const def = defOf(schema);
  switch (def.type) {
    case 'object': {
      const fields = Object.entries<z.core.$ZodType>(def.shape);
      const named = fields.map(([name, field]): [z.core.$ZodType, string] => [
        field,
        path ? `${path}.${name}` : name,
      ]);
      return def.catchall ? [...named, [def.catchall, `${path}.*`]] : named;
    }
    case 'array':
      return [[def.element, `${path}[]`]];
    case 'tuple': {
      const items = (def.items as z.core.$ZodType[]).map((item, i): [z.core.$ZodType, string] => [
        item,
        `${path}[${i}]`,
      ]);
      return def.rest ? [...items, [def.rest, `${path}[]`]] : items;
    }
    case 'record':
      return [[def.valueType, `${path}.*`]];
    case 'union':
      return def.options.map((option: z.core.$ZodType) => [option, path]);
    case 'intersection':
      return [
        [def.left, path],
        [def.right, path],
      ];
    case 'pipe':
      return [
        [def.in, path],
        [def.out, path],
      ];
    case 'lazy':
      return [[def.getter(), path]];
    default:
      return def.innerType ? [[def.innerType, path]] : [];
  }
}

export const containers: ReadonlySet<string> = new Set(['object', 'array', 'record', 'tuple']);

/**
 * What a value meets first: through `.optional()`, `.pipe()`, unions and the like, as far as to containers, to schemas without parts and to
 * those that `isLeaf` names.
 */
export function alternativesOf(
  schema: z.core.$ZodType,
  isLeaf = (one: z.core.$ZodType) => containers.has(defOf(one).type),
  seen = new Set<z.core.$ZodType>(),
): z.core.$ZodType[] {
  if (seen.has(schema)) return [];
  seen.add(schema);
  const def = defOf(schema);
  if (isLeaf(schema)) return [schema];
  const parts = partsOf(schema, '').filter(([part]) => def.type !== 'pipe' || part === def.in);
  const inner = parts.flatMap(([part]) => alternativesOf(part, isLeaf, seen));
  return parts.length === 0 || def.type === 'nullable' ? [schema, ...inner] : inner;
}
