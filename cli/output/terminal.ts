import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';

/** What a command was asked for: lines for a person or, under `--json`, one document. */
export function printResult(json: boolean | undefined, value: unknown, lines: () => readonly string[]): void {
  process.stdout.write(
    json
      ? `${JSON.stringify(value)}\n`
      : lines()
          .map((line) => `${line}\n`)
          .join(''),
  );
}

/** What is said beside: never part of what was asked for. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Text that came from elsewhere, on one line and unable to move the cursor or to colour the terminal. */
export function plain(text: string): string {
  return text.replaceAll(/[\s\p{Zl}\p{Zp}]+/gu, ' ').replaceAll(/[\p{Cc}\p{Cf}]/gu, '\u{fffd}');
}

/** Whether there is a person to ask, who sees the question. */
export function canAsk(json: boolean | undefined): boolean {
  return Boolean(process.stdin.isTTY && process.stderr.isTTY && !json);
}

/** Anything but a yes is a no. */
export async function confirmed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // A user who closes the input or presses Ctrl-C has not said yes.
    const left = once(terminal, 'close').then(() => '');
    const answer = await Promise.race([terminal.question(`\n${question} [y/N] `), left]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
