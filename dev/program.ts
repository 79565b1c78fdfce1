import { parseArgs } from 'node:util';
import type { CliContext } from '../cli/context.ts';
import { reportFailure } from '../cli/failure.ts';

/** What `waybill dev|demo|attack|worker|doctor` gives its program. */
export interface ProgramInput {
  context: CliContext;
  /** `--json`: one document on standard output, everything else on standard error. */
  json: boolean;
  /** `--watch`, of `waybill dev`. */
  watch: boolean;
  positionals: readonly string[];
}

/** Runs the program. A failure ends it as it ends every command: one line or one JSON document, and an exit code. */
export async function runProgram(
  env: CliContext['env'],
  program: (input: ProgramInput) => Promise<void>,
): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { json: { type: 'boolean', default: false }, watch: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  // A reader that closes the pipe is no failure.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  try {
    await program({ context: { env }, ...values, positionals });
  } catch (error) {
    reportFailure(error, values.json);
  }
}
