import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSettings } from '../sdk/project.ts';
import { readClientSettings } from './cliSettings.ts';
import { runningStack } from './connect.ts';
import type { CliContext } from './context.ts';

/**
 * The database of `--database`, else of the environment, which may also say where its password lies, else of the embedded stack that
 * is up. Throws `CliError` where none is up.
 */
export function databaseOf(option: string | undefined, context: CliContext): DatabaseSettings {
  const settings = readClientSettings(context);
  const url = option ?? settings.WAYBILL_DATABASE_URL;
  const credentials = settings.WAYBILL_CREDENTIALS;
  if (!url) return { url: embeddedDatabase(settings.WAYBILL_HOME), credentials };
  return {
    url,
    credentials,
    passwordFile: settings.WAYBILL_DATABASE_PASSWORD_FILE,
    password: settings.WAYBILL_DATABASE_PASSWORD,
  };
}

/** As the role that owns the tables. */
function embeddedDatabase(home: string): string {
  const url = new URL(runningStack(home).databaseUrl);
  url.username = 'waybill_migrator';
  url.password = readFileSync(join(home, 'keys/database/waybill_migrator'), 'utf8').trimEnd();
  return url.href;
}
