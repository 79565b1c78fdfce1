import { setTimeout as pause } from 'node:timers/promises';
import { startDevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';
import { stackMiB } from './memory.ts';

const settleMs = 20_000;

/** Memory of the whole embedded stack with nothing to do, 20 s after it came up. */
export async function idle(): Promise<Figure[]> {
  const stack = await startDevStack();
  try {
    await pause(settleMs);
    const { total, byName } = stackMiB(stack);
    return [
      {
        name: 'idle PSS of the whole stack',
        value: total,
        unit: 'MiB',
        goal: '≤ 650 MiB',
        met: total <= 650,
      },
      ...[...byName].map(([name, value]) => ({ name: `  ${name}`, value, unit: 'MiB' })),
    ];
  } finally {
    await stack.stop();
  }
}
