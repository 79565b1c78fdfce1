import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import type { Home } from './home.ts';
import { writeAtomically } from './writeAtomically.ts';

/** `<home>/dev.json`: there while the stack is up, and true at every moment. */
export const DevJson = z.object({
  apiUrl: z.string(),
  issuerUrl: z.string(),
  temporalAddress: z.string(),
  temporalUiUrl: z.string(),
  /** A superuser’s; development only. */
  databaseUrl: z.string(),
  processes: z.array(
    z.object({
      name: z.union([
        z.enum(['api', 'temporal', 'postgres', 'idp']),
        z.templateLiteral(['worker-', z.int()]),
      ]),
      pid: z.number(),
    }),
  ),
});

export type DevJson = z.infer<typeof DevJson>;

export function writeDevJson(home: Home, content: DevJson): void {
  writeAtomically(home.devJson, `${JSON.stringify(content, undefined, 2)}\n`);
}

export function removeDevJson(home: Home): void {
  rmSync(home.devJson, { force: true });
}

/** `undefined` where no stack is up in that home. `file` is the path of its `dev.json`. */
export function readDevJson(file: string): DevJson | undefined {
  try {
    return DevJson.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}
