import { z } from 'zod';
import { ClientSettings, type stackVariables } from '../../cli/cliSettings.ts';
import type { CliContext } from '../../cli/context.ts';
import { readSettings } from '../../domain/settings.ts';

const port = (preferred: number) => z.coerce.number().int().min(0).max(65_535).default(preferred);

/** What can be set for `waybill dev`. A port of 0 takes any free one; so does a port that is taken. */
export const StackSettings = z.object({
  WAYBILL_HOME: z.string().default('.waybill'),
  WAYBILL_API_PORT: port(8080),
  WAYBILL_ISSUER_PORT: port(8081),
  WAYBILL_TEMPORAL_PORT: port(7233),
  WAYBILL_TEMPORAL_UI_PORT: port(8233),
  WAYBILL_DATABASE_PORT: port(5433),
  WAYBILL_METRICS_PORT: port(9464),
  /** Worker processes; `waybill worker` adds more. */
  WAYBILL_WORKERS: z.coerce.number().int().min(0).max(16).default(2),
  /** Another object store than the folder of the home (docs/object-store.md). */
  WAYBILL_OBJECTS: z.string().default(''),
  WAYBILL_OBJECTS_ENDPOINT: z.string().default(''),
  WAYBILL_OBJECTS_REGION: z.string().default(''),
  WAYBILL_OBJECTS_CREDENTIALS_FILE: z.string().default(''),
  /** A folder with the credentials that definitions name. */
  WAYBILL_CREDENTIALS: z.string().default(''),
  /** Folders below which a source may be a file, separated as in PATH. */
  WAYBILL_FILE_ROOTS: z.string().default(''),
  /** `host:port`, separated by commas: addresses that a source may be fetched from although they are private. */
  WAYBILL_EGRESS_ALLOW: z.string().default(''),
  /** The same for where events may be sent, which may then be without https. */
  WAYBILL_CALLBACK_ALLOW: z.string().default(''),
} satisfies Record<(typeof stackVariables)[number], z.ZodType>);

export type StackSettings = Readonly<z.infer<typeof StackSettings>>;

/** Throws `SettingsError`. */
export function readStackSettings({ env }: CliContext): StackSettings {
  return readSettings(StackSettings, env, Object.keys(ClientSettings.shape));
}
