import type { Command } from 'commander';
import { apiUrlOf, type GlobalOptions } from '../connect.ts';
import type { AddCommand, CliContext } from '../context.ts';
import { findLogin, forgetLogin } from '../logins.ts';
import { printResult } from '../output/print.ts';

/** `waybill logout`: ends the login at the identity provider, where that can be done, and forgets it. */
export const addLogout: AddCommand = (program, context) => {
  program
    .command('logout')
    .description('end and forget what waybill login has kept')
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
  const { revoke } = await import('../signIn.ts');
  let revoked: boolean;
  try {
    revoked = await revoke(login);
  } finally {
    // Whatever the provider says, this machine forgets.
    await forgetLogin(context, apiUrl);
  }
  printResult(json, { apiUrl, signedOut: true, revoked }, () => [
    revoked
      ? `Signed out of ${apiUrl}.`
      : `Signed out of ${apiUrl}. ${login.issuer} has no way to be told, so your session there goes on.`,
  ]);
}
