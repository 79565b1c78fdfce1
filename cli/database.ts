import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentialFrom } from '../adapters/credentials/credentialFrom.ts';
import type { DatabaseAddress } from '../adapters/postgres/address.ts';
import { readClientSettings } from './cliSettings.ts';
import { runningStack } from './connect.ts';
import type { CliContext } from './context.ts';

/** The database of `--database`, else of the environment, which may also say where its password lies. */
export function namedDatabase(option: string | undefined, context: CliContext): DatabaseAddress | undefined {
  const settings = readClientSettings(context);
  const url = option ?? settings.WAYBILL_DATABASE_URL;
  const password = credentialFrom({
    file: settings.WAYBILL_DATABASE_PASSWORD_FILE,
    value: settings.WAYBILL_DATABASE_PASSWORD,
  });
  return url && password ? { url, password } : url;
}

/** The database of the embedded stack that is up, as the role that owns the tables. Throws `CliError` where none is up. */
export function embeddedDatabase(context: CliContext): string {
  const { WAYBILL_HOME } = readClientSettings(context);
  const url = new URL(runningStack(WAYBILL_HOME).databaseUrl);
  url.username = 'waybill_migrator';
  url.password = readFileSync(join(WAYBILL_HOME, 'keys/database/waybill_migrator'), 'utf8').trimEnd();
  return url.href;
}
