import type { Command } from 'commander';

/** The input of every command; only `main.ts` reads more of the process. */
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
  denied: 3,
  runFailed: 4,
  tampered: 5,
  incomplete: 6,
} as const;

/** Ends the command with one line for its user. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, exit: keyof typeof exitCode = 'failed') {
    super(message);
    this.exitCode = exitCode[exit];
  }
}
