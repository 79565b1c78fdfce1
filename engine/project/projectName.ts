import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';

const packageJson = z.object({ name: z.string().min(1).optional().catch(undefined) });

/**
 * The name of a project: `name` of the `package.json` in its folder, else the name of the folder itself.
 * Throws `DefinitionError` where the `package.json` cannot be read: another name would mean another project.
 */
export async function projectName(folder: string): Promise<string> {
  const path = join(resolve(folder), 'package.json');
  try {
    return packageJson.parse(JSON.parse(await readFile(path, 'utf8'))).name ?? basename(resolve(folder));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return basename(resolve(folder));
    throw new DefinitionError(path, [{ path: '', message: 'is not a JSON object that can be read' }]);
  }
}
