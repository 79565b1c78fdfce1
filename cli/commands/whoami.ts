import type { Command } from 'commander';
import { connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { printResult } from '../output/print.ts';
import { whoamiLines } from '../output/whoamiText.ts';

/** `waybill whoami`: who you are to Waybill, whichever way you said so. */
export const addWhoami: AddCommand = (program, context) => {
  program
    .command('whoami')
    .description('who you are to Waybill')
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const caller = await connect(context, options).whoami();
      printResult(options.json, caller, () => whoamiLines(caller));
    });
};
