import { join } from 'node:path';
import { ProgramFailed, runToEnd } from '../binaries/runToEnd.ts';
import { nodeFlags, packageFile } from './nodeService.ts';
import type { Postgres } from './postgres.ts';
import type { Stack } from './stackServices.ts';

/** The project does not load, or the database does not take what it declares. A changed file can mend that. */
export class ProjectError extends Error {
  override readonly name = 'ProjectError';
}

/** `databaseMain.ts` ends with this where the project is at fault. */
export const projectFailedExit = 3;

/**
 * Brings the database to where this version and the project want it. Returns the files that the project loads.
 * Throws `ProjectError`.
 */
export async function prepareDatabase(
  { home, project, baseEnv }: Stack,
  postgres: Postgres,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  try {
    const output = await runToEnd(
      process.execPath,
      [...nodeFlags, packageFile('dev/stack/databaseMain.ts')],
      {
        signal,
        env: {
          ...baseEnv,
          WAYBILL_DATABASE_PORT: String(postgres.port),
          WAYBILL_PASSWORDS: join(home.keys, 'database'),
          WAYBILL_PROJECT: project,
        },
      },
    );
    // What a pipeline prints while it loads comes before.
    return new Set(JSON.parse(output.trimEnd().split('\n').at(-1)!) as string[]);
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    // Its last line says what is wrong. That it was a process of its own does not matter.
    throw error.end === projectFailedExit ? new ProjectError(error.lastLine) : new Error(error.lastLine);
  }
}
