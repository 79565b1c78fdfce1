import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** `<home>/dev.json`: it exists while the embedded stack runs, and the supervisor keeps it current. */
export const DevJson = z.object({
  apiUrl: z.string(),
  issuerUrl: z.string(),
  temporalAddress: z.string(),
  temporalUiUrl: z.string(),
  /** What Prometheus reads of the API; each worker has its own. */
  metricsUrl: z.string(),
  /** The superuser’s, for development only. */
  databaseUrl: z.string(),
  processes: z.array(
    z.object({
      name: z.union([
        z.enum(['api', 'temporal', 'postgres', 'idp']),
        z.templateLiteral(['worker-', z.int()]),
      ]),
      pid: z.number(),
      metricsUrl: z.string().optional(),
    }),
  ),
});

export type DevJson = z.infer<typeof DevJson>;

/** `undefined` where no stack runs in that home. `file` is the path of its `dev.json`. */
export function readDevJson(file: string): DevJson | undefined {
  try {
    return DevJson.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}
