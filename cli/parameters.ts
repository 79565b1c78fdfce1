import { CliError } from './context.ts';

export type RawParameters = Record<string, string | string[]>;

/** `['a=1', 'a=2', 'b=x']` → `{ a: ['1', '2'], b: 'x' }`. Throws `CliError`. */
export function rawParameters(given: readonly string[], option = '--param'): RawParameters {
  const raw: RawParameters = Object.create(null);
  for (const one of given) {
    const at = one.indexOf('=');
    if (at < 1) throw new CliError(`${option} ${one}: write it as name=value.`, 'usage');
    const name = one.slice(0, at);
    const value = one.slice(at + 1);
    const before = raw[name];
    raw[name] = before === undefined ? value : [before, value].flat();
  }
  return raw;
}

interface PropertySchema {
  type?: string;
  items?: PropertySchema;
}

/**
 * As JSON for an envelope: where the pipeline’s schema asks for a number, a boolean, a list or an object and the text
 * is one, it becomes that. Everything else stays text, which the API accepts or refuses.
 */
export function typedParameters(
  raw: RawParameters,
  schema: Record<string, unknown>,
): Record<string, unknown> {
  const properties = (schema.properties ?? {}) as Record<string, PropertySchema>;
  return Object.fromEntries(
    Object.entries(raw).map(([name, value]) => [
      name,
      typed(value, Object.hasOwn(properties, name) ? properties[name] : undefined),
    ]),
  );
}

function typed(value: string | string[], { type, items }: PropertySchema = {}): unknown {
  if (type === 'array') return [value].flat().map((one) => typed(one, items));
  if (typeof value !== 'string') return value;
  if ((type === 'number' || type === 'integer') && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value))
    return Number(value);
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  if (type === 'object') return parsed(value);
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
