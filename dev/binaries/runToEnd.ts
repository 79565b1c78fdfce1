import { type SpawnOptions, spawn } from 'node:child_process';
import { basename } from 'node:path';

/**
 * Runs a program to its end and returns what it printed. A failure is one line: the program, and the last line
 * that it wrote. `signal` ends it early.
 */
export function runToEnd(
  program: string,
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout!.on('data', (chunk: Buffer) => {
      output += chunk;
    });
    child.stderr!.on('data', (chunk: Buffer) => {
      errors = (errors + chunk).slice(-tailChars);
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new ProgramFailed(program, code ?? signal, lastLine(errors || output)));
    });
  });
}

/** A program ended otherwise than with 0. */
export class ProgramFailed extends Error {
  override readonly name = 'ProgramFailed';
  /** The exit code, or the signal. */
  readonly end: number | string | null;
  readonly lastLine: string;

  constructor(program: string, end: number | string | null, lastLine: string) {
    super(`${basename(program)} ended with ${end}: ${lastLine}`);
    this.end = end;
    this.lastLine = lastLine;
  }
}

const tailChars = 4096;

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
