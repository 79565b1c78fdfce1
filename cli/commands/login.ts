import type { Command } from 'commander';
import { createWaybillClient } from '../../sdk/client.ts';
import { apiUrlOf, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { cliClientId } from '../embedded/obtainToken.ts';
import { findLogin, forgetLogin, keepLogin } from '../logins.ts';
import { plain, printResult, tell } from '../output/terminal.ts';
import { callerText } from '../output/whoText.ts';

interface LoginOptions extends GlobalOptions {
  issuer?: string;
  client: string;
  scope?: string;
}

/** `waybill login`: signs a person in by the device flow, and keeps that for the commands that follow. */
export const addLogin: AddCommand = (program, context) => {
  program
    .command('login')
    .description('sign in with a browser, on this machine or another, until waybill logout')
    .option('--issuer <url>', 'the identity provider; default: the one that the API names')
    .option('--client <id>', 'the client id of the command line at the provider', cliClientId)
    .option(
      '--scope <scope>',
      'the scopes to request; default: openid, and offline_access where the provider has that',
    )
    .action((_, command: Command) => login(command.optsWithGlobals(), context));
};

async function login(options: LoginOptions, context: CliContext): Promise<void> {
  const { issuersOf, signIn } = await import('../signIn.ts');
  const apiUrl = apiUrlOf(context);
  const issuer = options.issuer ?? only(apiUrl, await issuersOf(apiUrl));
  if (apiUrl.startsWith('https:') && !issuer.startsWith('https:'))
    throw new CliError(
      `${issuer} does not use https, so a password is not safe there. Name an issuer with https: --issuer URL.`,
    );
  const left = new AbortController();
  const leave = () => left.abort(new CliError('The sign-in is not complete.', 'incomplete'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, leave);
  const { client: clientId, scope } = options;
  const kept = await signIn(
    { issuer, clientId, scope },
    ({ url, code }) => tell(`Open ${plain(url)} and sign in. The page must show the code ${plain(code)}.`),
    left.signal,
  );
  // A login that Waybill does not accept is not kept.
  const caller = await createWaybillClient({ baseUrl: apiUrl, token: kept.accessToken }).whoami();
  await keepLogin(context, apiUrl, kept);
  printResult(options.json, { apiUrl, ...caller }, () => [
    `Signed in at ${apiUrl} as ${callerText(caller)}.`,
  ]);
}

function only(apiUrl: string, issuers: readonly string[]): string {
  const [issuer, ...more] = issuers;
  if (issuer === undefined)
    throw new CliError(`${apiUrl} names no identity provider. Say which: --issuer URL.`, 'usage');
  if (more.length > 0)
    throw new CliError(`Say where you sign in: --issuer ${issuers.join(', --issuer ')}.`, 'usage');
  return issuer;
}

/** `waybill logout`: ends the login at the identity provider, where that can be done, and forgets it. */
export const addLogout: AddCommand = (program, context) => {
  program
    .command('logout')
    .description('end the login at the provider and delete it here')
    .action((_, command: Command) => logout(command.optsWithGlobals(), context));
};

async function logout({ json }: GlobalOptions, context: CliContext): Promise<void> {
  const apiUrl = apiUrlOf(context);
  const login = findLogin(context, apiUrl);
  if (!login) {
    printResult(json, { apiUrl, signedOut: false, revoked: false }, () => [
      `You were not signed in at ${apiUrl}.`,
    ]);
    return;
  }
  const { revokeTokens } = await import('../signIn.ts');
  let revoked: boolean;
  try {
    revoked = await revokeTokens(login);
  } finally {
    // Whatever the provider says, this machine forgets.
    await forgetLogin(context, apiUrl);
  }
  printResult(json, { apiUrl, signedOut: true, revoked }, () => [
    revoked
      ? `Signed out of ${apiUrl}.`
      : `Signed out of ${apiUrl}. ${login.issuer} cannot revoke tokens, so your session there continues.`,
  ]);
}
