import { credentialFrom } from '../adapters/credentials/credentialFrom.ts';
import type { DatabaseAddress } from '../adapters/postgres/address.ts';
import { readClientSettings } from './cliSettings.ts';
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
