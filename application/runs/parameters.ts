import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import { isDoubleExact } from '../../domain/json/decimalText.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { issuesError } from '../issues.ts';

/**
 * The parameters as they were sent, once the pipeline’s schema has accepted them. Defaults and coercions are left
 * to the worker that runs the transform, since they belong to the definition. Throws `ParametersInvalid`.
 */
export async function checkParameters({ parameters }: LoadedPipeline, given: unknown = {}): Promise<unknown> {
  const text = JSON.stringify(given);
  if (text.length > parametersMax) {
    const message = `Parameters have at most ${parametersMax} characters of JSON. Send data as records, or as the body.`;
    throw new WaybillError('ParametersInvalid', { issues: [{ path: '/parameters', message }] });
  }
  if (text.includes('\\u0000') || /\\ud[89a-f]/i.test(text)) {
    const issues = [
      { path: '/parameters', message: 'Text may hold neither NUL nor half of a surrogate pair.' },
    ];
    throw new WaybillError('ParametersInvalid', { issues });
  }
  const parsed = await parameters.safeParseAsync(given);
  if (parsed.success) return given;
  throw issuesError('ParametersInvalid', parsed.error.issues, ['parameters']);
}

/** They are part of the record of a run and of its history in Temporal. */
const parametersMax = 262_144;

/**
 * A query string knows only strings. Where the schema asks for a number, a boolean or a list, and the string is
 * one, it is taken as such; everything else is left to the schema to accept or refuse.
 */
export function parametersFromQuery(
  pipeline: LoadedPipeline,
  query: Record<string, unknown>,
): Record<string, unknown> {
  const { properties = {} } = jsonSchemaOf(pipeline.parameters) as {
    properties?: Record<string, PropertySchema>;
  };
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [
      name,
      coerce(value, Object.hasOwn(properties, name) ? properties[name] : {}),
    ]),
  );
}

interface PropertySchema {
  type?: string;
  items?: PropertySchema;
}

function coerce(value: unknown, { type, items }: PropertySchema = {}): unknown {
  if (type === 'array') return (Array.isArray(value) ? value : [value]).map((one) => coerce(one, items));
  if (typeof value !== 'string') return value;
  if ((type === 'number' || type === 'integer') && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value))
    return isDoubleExact(value) ? Number(value) : value;
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}

/** JSON Schema (2020-12) of what a caller sends, computed once for each schema. */
export function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const known = schemas.get(schema);
  if (known) return known;
  const made = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>;
  schemas.set(schema, made);
  return made;
}

const schemas = new WeakMap<z.ZodType, Record<string, unknown>>();
