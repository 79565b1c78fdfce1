import { setTimeout as pause } from 'node:timers/promises';
import type { DevStack } from '../../test/support/devStack.ts';

/** The process of that name, once its supervisor has one. */
export async function untilRunning(stack: DevStack, name: string): Promise<number> {
  for (;;) {
    const pid = stack.pid(name);
    if (pid !== undefined) return pid;
    await pause(50);
  }
}
