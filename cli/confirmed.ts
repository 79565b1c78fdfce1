import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';

/** Whether there is a person to ask, who sees the question. */
export function canAsk(json: boolean | undefined): boolean {
  return Boolean(process.stdin.isTTY && process.stderr.isTTY && !json);
}

/** Anything but a yes is a no. */
export async function confirmed(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Whoever closes the input or presses Ctrl-C has not said yes.
    const left = once(terminal, 'close').then(() => '');
    const answer = await Promise.race([terminal.question(`\n${question} [y/N] `), left]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    terminal.close();
  }
}
