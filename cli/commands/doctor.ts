import { homedir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '../../domain/settings.ts';
import { type AddCommand, CliError } from '../context.ts';

/** `waybill doctor`: what `waybill dev` needs of this machine, and what to do where something is missing. */
export const addDoctor: AddCommand = (program, { env }) => {
  program
    .command('doctor')
    .description('check what waybill dev needs of this machine')
    .option('--json', 'print { checks: [{ name, ok, detail }] }')
    .action(async ({ json }: { json?: boolean }) => {
      const { examine } = await import('../dev/examine.ts');
      const { StackSettings } = await import('../dev/stackSettings.ts');
      const checks = await examine({
        settings: readSettings(StackSettings, env),
        cliPath: env.TEMPORAL_CLI_PATH,
        searchPath: env.PATH ?? '',
        cache: join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'waybill'),
      });
      if (json) console.log(JSON.stringify({ checks }));
      else
        for (const { name, ok, detail } of checks)
          console.log(`${ok ? '✓' : '✗'} ${name.padEnd(12)} ${detail}`);
      if (checks.some(({ ok }) => !ok))
        throw new CliError('Something is missing; the lines with ✗ say what to do.');
    });
};
