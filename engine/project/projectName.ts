import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { type Limit, limitsIn, WrittenLimits } from '../../domain/limits.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import { type Retention, WrittenRetention } from '../../domain/pipelines/retention.ts';

const packageJson = z.looseObject({ name: z.string().min(1).optional().catch(undefined) });

/**
 * The name of a project: `name` of the `package.json` in its folder, else the name of the folder itself.
 * Throws `DefinitionError` where the `package.json` cannot be read: another name would mean another project.
 */
export async function projectName(folder: string): Promise<string> {
  return (await read(folder)).name ?? basename(resolve(folder));
}

/** What a project says for all of its pipelines: `waybill` of the `package.json`. */
export interface ProjectSettings {
  /** How long pipelines that say nothing keep what a run leaves. */
  retention: Partial<Retention> | undefined;
  limits: Limit[];
}

/** Throws `DefinitionError`. */
export async function projectSettings(folder: string): Promise<ProjectSettings> {
  const parsed = settings.safeParse((await read(folder)).waybill);
  if (parsed.success) {
    const { retention, limits = {} } = parsed.data ?? {};
    return { retention: retention as Partial<Retention> | undefined, limits: limitsIn(limits) };
  }
  throw new DefinitionError(
    pathOf(folder),
    parsed.error.issues.map(({ path, message }) => ({ path: ['waybill', ...path].join('.'), message })),
  );
}

const settings = z
  .strictObject({ retention: WrittenRetention.optional(), limits: WrittenLimits.optional() })
  .optional();

function pathOf(folder: string): string {
  return join(resolve(folder), 'package.json');
}

async function read(folder: string): Promise<z.infer<typeof packageJson>> {
  try {
    return packageJson.parse(JSON.parse(await readFile(pathOf(folder), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new DefinitionError(pathOf(folder), [
      { path: '', message: 'is not a JSON object that can be read' },
    ]);
  }
}
