import { z } from 'zod';
import { readSettings } from '../domain/settings.ts';
import type { CliContext } from './context.ts';

/** What the commands read of the environment. */
export const ClientSettings = z.object({
  WAYBILL_HOME: z.string().default('.waybill'),
  /** Default: the running embedded stack of WAYBILL_HOME. */
  WAYBILL_API_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** An OIDC access token, where `--as` is not given. */
  WAYBILL_TOKEN: z.string().optional(),
  /** For `waybill apply`. */
  WAYBILL_DATABASE_URL: z.string().optional(),
  /** The password for it, which then stands in no command line; else WAYBILL_DATABASE_PASSWORD, else the URL. */
  WAYBILL_DATABASE_PASSWORD_FILE: z.string().optional(),
  WAYBILL_DATABASE_PASSWORD: z.string().optional(),
  /** The folder with the credentials of shards, `<shard>.migrator`, for `waybill apply` and `plan`. */
  WAYBILL_CREDENTIALS: z.string().optional(),
  /** Where `waybill apply` keeps the code of the definitions, for runs that outlive them. */
  WAYBILL_DEFINITIONS: z.string().optional(),
});

/** What `waybill dev` reads of the environment; `dev/stack/stackSettings.ts` says what each is for. */
export const stackVariables = [
  'WAYBILL_HOME',
  'WAYBILL_API_PORT',
  'WAYBILL_ISSUER_PORT',
  'WAYBILL_TEMPORAL_PORT',
  'WAYBILL_TEMPORAL_UI_PORT',
  'WAYBILL_DATABASE_PORT',
  'WAYBILL_METRICS_PORT',
  'WAYBILL_WORKERS',
  'WAYBILL_OBJECTS',
  'WAYBILL_OBJECTS_ENDPOINT',
  'WAYBILL_OBJECTS_REGION',
  'WAYBILL_OBJECTS_CREDENTIALS_FILE',
  'WAYBILL_CREDENTIALS',
  'WAYBILL_FILE_ROOTS',
  'WAYBILL_EGRESS_ALLOW',
  'WAYBILL_CALLBACK_ALLOW',
] as const;

/** Throws `SettingsError`. */
export function readClientSettings({ env }: CliContext): z.infer<typeof ClientSettings> {
  return readSettings(ClientSettings, env, stackVariables);
}
