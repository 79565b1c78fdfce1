import { Command, CommanderError } from 'commander';
import { addDev } from './commands/dev.ts';
import { addDoctor } from './commands/doctor.ts';
import { addToken } from './commands/token.ts';
import { type AddCommand, CliError, exitCode } from './context.ts';

/** In the order in which `--help` shows them. Each imports what it works with only once it is called. */
const commands: readonly AddCommand[] = [addDev, addToken, addDoctor];

const program = new Command('waybill')
  .description('Durable data pipelines in which the caller’s verified identity travels with every task.')
  .version('0.1.0')
  .showHelpAfterError('(waybill --help lists the commands)')
  .exitOverride();
for (const add of commands) add(program, { env: process.env });

// Whoever reads our output may leave; that is no failure of ours.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has said what is wrong; asking for help is fine.
    process.exitCode = error.exitCode === 0 ? exitCode.fine : exitCode.usage;
  } else {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = error instanceof CliError ? error.exitCode : exitCode.failed;
  }
}
