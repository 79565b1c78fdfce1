import { type DevStack, startDevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';
import { benchProject } from './project.ts';
import { triggerSmall, untilEnded } from './smallRun.ts';

const inFlight = 500;

/**
 * What the `kill -9` of a worker costs 500 runs in flight: seconds from the kill to the end of the last run, beside the
 * same without a kill on the same stack. Nothing is lost either way: each run must end as completed.
 */
export async function recovery(): Promise<Figure[]> {
  const stack = await startDevStack({ project: benchProject });
  try {
    await drain(stack, () => {});
    const undisturbed = await drain(stack, () => {});
    const killed = await drain(stack, () => process.kill(stack.pid('worker-1')!, 'SIGKILL'));
    const extra = killed - undisturbed;
    return [
      { name: 'last of 500 runs ends after, undisturbed', value: undisturbed, unit: 's' },
      { name: 'last of 500 runs ends after, one worker killed', value: killed, unit: 's' },
      { name: 'recovery: what the kill adds', value: extra, unit: 's', goal: '≤ 15 s', met: extra <= 15 },
    ];
  } finally {
    await stack.stop();
  }
}

/** Seconds from when 500 runs are accepted, and the disturbance, until the last of them has completed. */
async function drain(stack: DevStack, disturb: () => void): Promise<number> {
  const call = await stack.as('alice');
  const ids = (await Promise.all(Array.from({ length: inFlight }, () => triggerSmall(call)))).map(
    ({ id }) => id,
  );
  const from = performance.now();
  disturb();
  // Newest first would leave the oldest for last; each is awaited, so the order does not matter.
  for (const id of ids) {
    const state = await untilEnded(call, id);
    if (state !== 'completed') throw new Error(`${id} ${state}`);
  }
  return (performance.now() - from) / 1000;
}
