import { Command } from 'commander';
import { addApprovals } from '../../../cli/commands/approvals.ts';
import { failureOf } from '../../../cli/failure.ts';

/*
 * The command line as a process that is given one command after the other, each with a token of its own, and answers with how it
 * ended: several hundred processes would take minutes.
 */

interface Given {
  args: string[];
  env: Record<string, string>;
}

process.stdout.write = () => true;
process.on('message', async ({ args, env }: Given) => {
  const program = new Command('waybill').option('--as <name>').option('--json').exitOverride();
  addApprovals(program, { env });
  let code: string | null = null;
  process.exitCode = 0;
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    const failure = failureOf(error);
    code = failure.json.code;
    process.exitCode = failure.exitCode;
  }
  process.send!({ code, exitCode: process.exitCode });
});
