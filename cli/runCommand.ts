import { Command, CommanderError } from 'commander';
import { addApply } from './commands/apply.ts';
import { addApprovals } from './commands/approvals.ts';
import { addCheck } from './commands/check.ts';
import { addContracts } from './commands/contracts.ts';
import { addDeadLetters } from './commands/deadLetters.ts';
import { addDeliveries } from './commands/deliveries.ts';
import { addAttack, addDemo, addDev, addDoctor, addWorker } from './commands/embedded.ts';
import { addKeys } from './commands/keys.ts';
import { addLimits } from './commands/limits.ts';
import { addLogin, addLogout } from './commands/login.ts';
import { addPipelines } from './commands/pipelines.ts';
import { addPlan } from './commands/plan.ts';
import { addPolicy } from './commands/policy.ts';
import { addRevocationList, addRevocations } from './commands/revocations.ts';
import { addRuns } from './commands/runs.ts';
import { addSchedules } from './commands/schedules.ts';
import { addTrigger } from './commands/trigger.ts';
import { addToken, addWhoami } from './commands/whoami.ts';
import { type AddCommand, type CliContext, exitCode } from './context.ts';
import { reportFailure } from './failure.ts';

/**
 * Runs one command line, as `['runs', '--json']`. Prints what it has to say; how it ends is the exit code of the process. A program
 * of `dev/` takes the place of the process.
 */
export async function runCommand(args: readonly string[], context: CliContext): Promise<void> {
  const program = createProgram(context);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // Asking for help is fine.
    if (error instanceof CommanderError && error.exitCode === 0) process.exitCode = exitCode.fine;
    else reportFailure(error, program.opts().json);
  }
}

/** The commands, arguments and options of `waybill`. */
export function createProgram(context: CliContext): Command {
  const program = new Command('waybill')
    .description('Durable data pipelines in which the caller’s verified identity travels with every task.')
    .version('0.1.0')
    .showHelpAfterError('(waybill --help lists the commands)')
    .option('--as <name>', 'act as a person of the embedded stack')
    .option('--json', 'print one JSON document and nothing else')
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  for (const add of commands) add(program, context);
  return program;
}

/** In the order in which `--help` shows them. Each imports only once it is called what takes long to load. */
const commands: readonly AddCommand[] = [
  addDev,
  addDemo,
  addAttack,
  addLogin,
  addLogout,
  addWhoami,
  addPipelines,
  addLimits,
  addCheck,
  addTrigger,
  addRuns,
  addApprovals,
  addDeadLetters,
  addSchedules,
  addDeliveries,
  addKeys,
  addRevocations,
  addRevocationList,
  addWorker,
  addPolicy,
  addContracts,
  addPlan,
  addApply,
  addToken,
  addDoctor,
];
