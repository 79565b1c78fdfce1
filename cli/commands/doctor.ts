import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readStackSettings } from '../cliSettings.ts';
import type { GlobalOptions } from '../connect.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { tell } from '../output/print.ts';

/** `waybill doctor`: what `waybill dev` needs of this machine, and what to do where something is missing. */
export const addDoctor: AddCommand = (program, context) => {
  const { env } = context;
  program
    .command('doctor')
    .description('check what waybill dev needs of this machine')
    .action(async (_, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      const { examine } = await import('../../dev/stack/examine.ts');
      const checks = await examine({
        settings: readStackSettings(context),
        cliPath: env.TEMPORAL_CLI_PATH,
        searchPath: env.PATH ?? '',
        cache: join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'waybill'),
      });
      if (json) console.log(JSON.stringify({ checks }));
      else
        for (const { name, ok, detail } of checks)
          console.log(`${ok ? '✓' : '✗'} ${name.padEnd(12)} ${detail}`);
      if (checks.every(({ ok }) => ok)) return;
      tell('Something is missing; the lines with ✗ say what to do.');
      process.exitCode = exitCode.failed;
    });
};
