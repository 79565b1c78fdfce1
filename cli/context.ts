import type { Command } from 'commander';

/** What every command is given: nothing else of the process is read outside of `main.ts`. */
export interface CliContext {
  env: Readonly<Record<string, string | undefined>>;
}

/** Adds one command to the program. */
export type AddCommand = (program: Command, context: CliContext) => void;

/** The exit codes of every command. */
export const exitCode = {
  fine: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  runFailed: 4,
  tampered: 5,
  incomplete: 6,
} as const;

/** Ends the command with one line for the person who gave it. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exit: keyof typeof exitCode = 'failed') {
    super(message);
    this.exitCode = exitCode[exit];
  }
}
