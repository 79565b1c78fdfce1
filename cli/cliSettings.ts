import { z } from 'zod';
import { StackSettings } from '../dev/stack/stackSettings.ts';
import { readSettings } from '../domain/settings.ts';
import type { CliContext } from './context.ts';

/** What the commands read of the environment, beside what `waybill dev` does. */
const ClientSettings = z.object({
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
});

const known = [...Object.keys(StackSettings.shape), ...Object.keys(ClientSettings.shape)];

/** Throws `SettingsError`. */
export function readClientSettings({ env }: CliContext): z.infer<typeof ClientSettings> {
  return readSettings(ClientSettings, env, known);
}

/** Throws `SettingsError`. */
export function readStackSettings({ env }: CliContext): StackSettings {
  return readSettings(StackSettings, env, known);
}
