import type { Command } from 'commander';
import { connect, embeddedIdentity, type GlobalOptions } from '../connect.ts';
import { type AddCommand, CliError } from '../context.ts';
import { obtainToken } from '../embedded/obtainToken.ts';
import { people } from '../embedded/people.ts';
import { printResult } from '../output/terminal.ts';
import { whoamiLines } from '../output/whoText.ts';

/** `waybill whoami`: the caller as Waybill knows it. */
export const addWhoami: AddCommand = (program, context) => {
  program
    .command('whoami')
    .description('show the caller as Waybill knows it')
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const caller = await connect(context, options).whoami();
      printResult(options.json, caller, () => whoamiLines(caller));
    });
};

/** `waybill token --as NAME`: an access token for one of the embedded stack’s people. */
export const addToken: AddCommand = (program, context) => {
  program
    .command('token')
    .description('print an access token for a person of the embedded stack')
    .action(async (_, command: Command) => {
      const { as, json } = command.optsWithGlobals<GlobalOptions>();
      if (as === undefined)
        throw new CliError(`Name the person: --as ${Object.keys(people).join(', --as ')}.`, 'usage');
      const token = await obtainToken(embeddedIdentity(context, as).issuerUrl, as);
      console.log(json ? JSON.stringify(token) : token.token);
    });
};
