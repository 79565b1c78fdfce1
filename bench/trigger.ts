import { randomUUID } from 'node:crypto';
import { startDevStack } from '../test/support/devStack.ts';
import { bareQueue, startBare } from './bare.ts';
import type { Figure } from './figure.ts';
import { percentile } from './figure.ts';
import { benchProject } from './project.ts';
import { triggerSmall } from './smallRun.ts';

const ratePerS = 20;
const forS = 20;
const inFlight = 256;

/**
 * How long a caller waits for 202 while the stack is busy: 256 runs are under way when the first request is sent, and
 * 20 more come each second for 20 s, sent on time whether or not the ones before were answered. Beside it the same for a bare
 * `client.workflow.start`, with 256 bare workflows under way on the same server.
 */
export async function trigger(): Promise<Figure[]> {
  const stack = await startDevStack({ project: benchProject });
  try {
    const call = await stack.as('alice');
    for (let i = 0; i < 20; i++) await triggerSmall(call);
    await Promise.all(Array.from({ length: inFlight }, () => triggerSmall(call)));
    const waybill = await paced(async () => (await triggerSmall(call)).tookMs);

    const { client, stop } = await startBare(stack);
    const start = async () => {
      const from = performance.now();
      await client.workflow.start('bare', { taskQueue: bareQueue, workflowId: randomUUID() });
      return performance.now() - from;
    };
    await Promise.all(Array.from({ length: inFlight }, start));
    const bare = await paced(start);
    await stop();

    const p50 = percentile(waybill, 0.5);
    const p99 = percentile(waybill, 0.99);
    return [
      {
        name: '202 at 20/s, 256 runs in flight, p50',
        value: p50,
        unit: 'ms',
        goal: '≤ 10 ms',
        met: p50 <= 10,
      },
      {
        name: '202 at 20/s, 256 runs in flight, p99',
        value: p99,
        unit: 'ms',
        goal: '≤ 50 ms',
        met: p99 <= 50,
      },
      { name: 'bare workflow.start, p50', value: percentile(bare, 0.5), unit: 'ms' },
      { name: 'bare workflow.start, p99', value: percentile(bare, 0.99), unit: 'ms' },
    ];
  } finally {
    await stack.stop();
  }
}

async function paced(request: () => Promise<number>): Promise<number[]> {
  const pending: Promise<number>[] = [];
  const from = performance.now();
  for (let i = 0; i < ratePerS * forS; i++) {
    const dueMs = from + (i * 1000) / ratePerS - performance.now();
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    pending.push(request());
  }
  return Promise.all(pending);
}
