import type { z } from 'zod';
import { nearestOf } from './nearest.ts';

/**
 * Reads the settings of one process from its environment: parsed once, frozen. A variable that begins with
 * `WAYBILL_` and that no process knows is an error, and the nearest known name is suggested.
 */
export function readSettings<S extends z.ZodObject>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
  alsoKnown: readonly string[] = [],
): Readonly<z.infer<S>> {
  const known = [...Object.keys(schema.shape), ...alsoKnown];
  for (const name of Object.keys(env)) {
    if (name.startsWith('WAYBILL_') && !known.includes(name))
      throw new SettingsError(unknownMessage(name, known));
  }
  const present = Object.fromEntries(Object.keys(schema.shape).flatMap((k) => (env[k] ? [[k, env[k]]] : [])));
  const parsed = schema.safeParse(present);
  if (parsed.success) return Object.freeze(parsed.data);
  const first = parsed.error.issues[0]!;
  throw new SettingsError(`${first.path.join('.')}: ${first.message}`);
}

/** The environment cannot be used as it is; the message says which variable and why. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

function unknownMessage(name: string, known: readonly string[]): string {
  return `${name} is not a setting. Did you mean ${nearestOf(name, known)}?`;
}
