import { join } from 'node:path';
import { createWaybillClient, type WaybillClient } from '../sdk/client.ts';
import { readClientSettings } from './cliSettings.ts';
import { type CliContext, CliError } from './context.ts';
import { type DevJson, readDevJson } from './embedded/devJson.ts';
import { obtainToken } from './embedded/obtainToken.ts';
import { people } from './embedded/people.ts';
import { exclusively, findLogin, type Login } from './logins.ts';

/** Known to every command, before or after its name. */
export interface GlobalOptions {
  as?: string;
  json?: boolean;
}

/** For a command that a user may copy: without `--as` it would run as another principal. */
export function asOption({ as }: { as?: string | undefined }): string {
  return as === undefined ? '' : ` --as ${as}`;
}

/** `--as` of the owner, if caller and owner are people of the embedded stack. */
export function asOwner(owner: { subject: string }, { as }: { as?: string | undefined }): string {
  const name = Object.entries(people).find(([, { subject, act }]) => !act && subject === owner.subject)?.[0];
  return as === undefined ? '' : asOption({ as: name });
}

/**
 * The API as the caller: `--as NAME` of the embedded stack that runs in WAYBILL_HOME, otherwise WAYBILL_TOKEN,
 * otherwise who signed in by `waybill login`. Throws `CliError`.
 */
export function connect(context: CliContext, { as }: GlobalOptions): WaybillClient {
  if (as !== undefined) {
    const { apiUrl, issuerUrl } = embeddedIdentity(context, as);
    return createWaybillClient({ baseUrl: apiUrl, token: renewed(issuerUrl, as) });
  }
  const { WAYBILL_TOKEN: token } = readClientSettings(context);
  const baseUrl = apiUrlOf(context);
  return createWaybillClient({ baseUrl, token: token || kept(context, baseUrl) });
}

/** Whether the caller is known; some commands do part of their work without a caller. */
export function isIdentified(context: CliContext, { as }: GlobalOptions): boolean {
  if (as !== undefined || readClientSettings(context).WAYBILL_TOKEN) return true;
  const { WAYBILL_API_URL, WAYBILL_HOME } = readClientSettings(context);
  const apiUrl = WAYBILL_API_URL ?? readDevJson(join(WAYBILL_HOME, 'dev.json'))?.apiUrl;
  return apiUrl !== undefined && findLogin(context, apiUrl) !== undefined;
}

/** WAYBILL_API_URL or, without it, the running embedded stack’s. Throws `CliError`. */
export function apiUrlOf(context: CliContext): string {
  const { WAYBILL_API_URL, WAYBILL_HOME } = readClientSettings(context);
  return WAYBILL_API_URL ?? runningStack(WAYBILL_HOME).apiUrl;
}

/** The token of who signed in. Shortly before it ends it is renewed, by one command at a time. */
function kept(context: CliContext, apiUrl: string): () => Promise<string> {
  if (!findLogin(context, apiUrl))
    throw new CliError(
      'Say who you are: --as alice with the embedded stack, waybill login, or an access token in WAYBILL_TOKEN.',
      'usage',
    );
  const usable = (login: Login | undefined) =>
    login && Date.parse(login.expiresAt) - Date.now() > marginMs ? login.accessToken : undefined;
  return async () =>
    usable(findLogin(context, apiUrl)) ??
    exclusively(context, async ({ find, keep }) => {
      const login = find(apiUrl);
      const token = usable(login);
      if (token !== undefined) return token;
      if (!login) throw new CliError('You have signed out. Sign in again: waybill login.', 'denied');
      const { renew } = await import('./signIn.ts');
      const next = await renew(login);
      keep(apiUrl, next);
      return next.accessToken;
    });
}

/** A request that begins now still counts when it arrives. */
const marginMs = 60_000;

/** The embedded stack that knows this person. Throws `CliError`. */
export function embeddedIdentity(context: CliContext, name: string): DevJson {
  if (!Object.hasOwn(people, name))
    throw new CliError(
      `The embedded stack has no ${name}. Use one of ${Object.keys(people).join(', ')}.`,
      'usage',
    );
  return runningStack(readClientSettings(context).WAYBILL_HOME);
}

/** Throws `CliError` where none is up. */
export function runningStack(home: string): DevJson {
  const stack = readDevJson(join(home, 'dev.json'));
  if (stack) return stack;
  throw new CliError(
    `No embedded stack is up in ${home}. Start it with npm start, or name its home in WAYBILL_HOME.`,
  );
}

/** A token is used for the first half of its life, so that a long wait outlives the first one. */
function renewed(issuerUrl: string, name: string): () => Promise<string> {
  let current: { token: string; until: number } | undefined;
  return async () => {
    if (!current || performance.now() > current.until) {
      const { token, expiresInS } = await obtainToken(issuerUrl, name);
      current = { token, until: performance.now() + expiresInS * 500 };
    }
    return current.token;
  };
}
