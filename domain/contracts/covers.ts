import { canonicalJson } from '../canonicalJson.ts';
import type { JsonSchema } from './contract.ts';

/**
 * Whether one JSON Schema accepts every value that another one accepts, as far as its keywords tell: what is not understood must be equal.
 * A wrong `false` asks for a new version that was not needed; there is no wrong `true`.
 * @param roots the documents in which their `$ref` point
 */
export function covers(wide: JsonSchema, narrow: JsonSchema, roots: Roots, depth = 0): boolean {
  if (depth > depthMax) return false;
  const [a, b] = [resolved(wide, roots.wide), resolved(narrow, roots.narrow)];
  if (sameMeaning(a, b) && sameDefinitions(roots)) return true;
  if (Object.keys(meaning(a)).length === 0) return true;
  const parts = alternatives(b);
  if (parts.length > 1) return parts.every((part) => covers(a, part, roots, depth + 1));
  const choices = alternatives(a);
  if (choices.length > 1) return choices.some((choice) => covers(choice, parts[0]!, roots, depth + 1));
  return coversOne(choices[0]!, parts[0]!, roots, depth + 1);
}

interface Roots {
  wide: JsonSchema;
  narrow: JsonSchema;
}

const depthMax = 32;

/** What is about values: names, descriptions and defaults are not. A unit has a check of its own. */
export function meaning(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([keyword]) => !silent.has(keyword)));
}

const silent: ReadonlySet<string> = new Set(
  '$schema $defs $id title description default examples deprecated readOnly writeOnly unit'.split(' '),
);

function sameMeaning(a: JsonSchema, b: JsonSchema): boolean {
  return canonicalJson(meaning(a)) === canonicalJson(meaning(b));
}

/** Equal references mean the same only in equal documents. */
function sameDefinitions({ wide, narrow }: Roots): boolean {
  return canonicalJson(wide.$defs ?? {}) === canonicalJson(narrow.$defs ?? {});
}

function resolved(schema: JsonSchema, root: JsonSchema): JsonSchema {
  const { $ref } = schema;
  if (typeof $ref !== 'string') return schema;
  if ($ref === '#') return root;
  const name = $ref.replace('#/$defs/', '');
  return ((root.$defs ?? {}) as Record<string, JsonSchema>)[name] ?? schema;
}

/** `anyOf`, several types and values of an enumeration, one by one. */
function alternatives(schema: JsonSchema): JsonSchema[] {
  const { anyOf, oneOf, type, enum: values, ...rest } = schema;
  const union = (anyOf ?? oneOf) as JsonSchema[] | undefined;
  if (union) return union.flatMap((part) => alternatives({ ...rest, ...(type ? { type } : {}), ...part }));
  if (Array.isArray(values))
    return values.map((value) => ({ ...rest, ...(type ? { type } : {}), const: value }));
  if (Array.isArray(type)) return type.map((one) => ({ ...rest, type: one }));
  return [schema];
}

function coversOne(a: JsonSchema, b: JsonSchema, roots: Roots, depth: number): boolean {
  const [left, right] = [meaning(a), meaning(b)];
  for (const keyword of new Set([...Object.keys(left), ...Object.keys(right)])) {
    if (canonicalJson(left[keyword]) === canonicalJson(right[keyword]) && !nested.has(keyword)) continue;
    const check = checks[keyword];
    if (!check?.(left, right, roots, depth)) return false;
  }
  return true;
}

type Check = (a: JsonSchema, b: JsonSchema, roots: Roots, depth: number) => boolean;

const nested: ReadonlySet<string> = new Set(['properties', 'items', 'additionalProperties', 'prefixItems']);

/** Of each keyword that is understood: whether `a` demands no more than `b`. */
const checks: Readonly<Record<string, Check>> = {
  type: (a, b) => a.type === undefined || a.type === b.type || (a.type === 'number' && b.type === 'integer'),
  const: (a) => a.const === undefined,
  format: (a) => a.format === undefined,
  pattern: (a) => a.pattern === undefined,
  multipleOf: (a) => a.multipleOf === undefined,
  contentEncoding: (a) => a.contentEncoding === undefined,
  propertyNames: (a) => a.propertyNames === undefined,
  minimum: least('minimum'),
  exclusiveMinimum: least('exclusiveMinimum'),
  minLength: least('minLength'),
  minItems: least('minItems'),
  maximum: most('maximum'),
  exclusiveMaximum: most('exclusiveMaximum'),
  maxLength: most('maxLength'),
  maxItems: most('maxItems'),
  precision: most('precision'),
  scale: most('scale'),
  required: (a, b) => namesIn(a.required).every((name) => namesIn(b.required).includes(name)),
  items: (a, b, roots, depth) => covers(schemaOf(a.items), schemaOf(b.items), roots, depth),
  additionalProperties: (a, b, roots, depth) =>
    a.additionalProperties === undefined ||
    b.additionalProperties === false ||
    (a.additionalProperties !== false &&
      covers(schemaOf(a.additionalProperties), schemaOf(b.additionalProperties), roots, depth)),
  properties: (a, b, roots, depth) => {
    const [ours, theirs] = [propertiesOf(a), propertiesOf(b)];
    return (
      Object.entries(theirs).every(([name, schema]) =>
        ours[name]
          ? covers(ours[name], schema, roots, depth)
          : a.additionalProperties !== false &&
            covers(schemaOf(a.additionalProperties), schema, roots, depth),
      ) &&
      // A value of a new name could be anything where the other names none.
      Object.entries(ours).every(([name, schema]) =>
        theirs[name]
          ? true
          : b.additionalProperties === false ||
            covers(schema, schemaOf(b.additionalProperties), roots, depth),
      )
    );
  },
};

function least(keyword: string): Check {
  return (a, b) => a[keyword] === undefined || Number(a[keyword]) <= Number(b[keyword] ?? Number.NaN);
}

function most(keyword: string): Check {
  return (a, b) => a[keyword] === undefined || Number(a[keyword]) >= Number(b[keyword] ?? Number.NaN);
}

/** Everything, where nothing is said. */
function schemaOf(part: unknown): JsonSchema {
  return typeof part === 'object' && part !== null ? (part as JsonSchema) : {};
}

function namesIn(list: unknown): readonly string[] {
  return Array.isArray(list) ? list : [];
}

export function propertiesOf(schema: JsonSchema): Readonly<Record<string, JsonSchema>> {
  return (schema.properties ?? {}) as Record<string, JsonSchema>;
}

export function isRequired(schema: JsonSchema, name: string): boolean {
  return namesIn(schema.required).includes(name);
}

/** A field without the alternative `null`, and whether it had one. */
export function withoutNull(schema: JsonSchema): { schema: JsonSchema; nullable: boolean } {
  const all = alternatives(schema);
  const rest = all.filter(({ type, const: value }) => type !== 'null' && value !== null);
  if (rest.length === all.length) return { schema, nullable: false };
  return { schema: rest.length === 1 ? rest[0]! : { anyOf: rest }, nullable: true };
}
