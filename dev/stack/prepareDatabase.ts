import { join } from 'node:path';
import { ProgramFailed, runToEnd } from '../binaries/runToEnd.ts';
import { nodeFlags, packageFile } from './nodeService.ts';
import type { Postgres } from './postgres.ts';
import type { Stack } from './stackServices.ts';

/** The project does not load, or the database does not take what it declares. A changed file can mend that. */
export class ProjectError extends Error {
  override readonly name = 'ProjectError';
}

/** What `databaseMain.ts` prints at last. */
interface Prepared {
  files: string[];
  /** A line for each pipeline that does not fit. */
  refused: string[];
}

/** `databaseMain.ts` ends with this where the project is at fault. */
export const projectFailedExit = 3;

/**
 * Brings the database to where this version and the project want it. Returns the files that the project loads. A pipeline that
 * does not fit its table is said, and starts no run; the others are served. Throws `ProjectError`.
 */
export async function prepareDatabase(
  { home, project, baseEnv, settings }: Stack,
  postgres: Postgres,
  signal: AbortSignal,
  say: (line: string) => void,
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
          WAYBILL_DEFINITIONS: home.definitions,
          ...(settings.WAYBILL_CREDENTIALS && { WAYBILL_CREDENTIALS: settings.WAYBILL_CREDENTIALS }),
        },
      },
    );
    // What a pipeline prints while it loads comes before.
    const { files, refused } = JSON.parse(output.trimEnd().split('\n').at(-1)!) as Prepared;
    for (const line of refused) say(line);
    return new Set(files);
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    // Its last line says what is wrong. That it was a process of its own does not matter.
    throw error.end === projectFailedExit ? new ProjectError(error.lastLine) : new Error(error.lastLine);
  }
}
