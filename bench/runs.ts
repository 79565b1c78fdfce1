import { randomUUID } from 'node:crypto';
import { type DevStack, startDevStack } from '../test/support/devStack.ts';
import { bareQueue, startBare } from './bare.ts';
import type { Figure } from './figure.ts';
import { percentile } from './figure.ts';
import { processesOf } from './memory.ts';
import { processorMs } from './processorTime.ts';
import { benchProject } from './project.ts';
import { triggerSmall, untilEnded } from './smallRun.ts';

const total = 400;
const inFlight = 64;
const alone = 40;
/** The runs of which the processor time is counted, by process. A busy machine changes it little. */
const counted = 300;
const countedInFlight = 16;

/** Runs a second at 64 in flight, and end to end alone, against a bare workflow of four activities on the same server. */
export async function runs(): Promise<Figure[]> {
  const stack = await startDevStack({ project: benchProject });
  try {
    const call = await stack.as('alice');
    const ours = async () => {
      const { id } = await triggerSmall(call);
      const state = await untilEnded(call, id);
      if (state !== 'completed') throw new Error(`${id} ${state}`);
    };
    const bare = await startBare(stack);
    const theirs = () =>
      bare.client.workflow.execute('bare', { taskQueue: bareQueue, workflowId: randomUUID() }).then(() => {});

    for (const work of [ours, theirs]) await inParallel(work, 40, 8);
    // In turn, twice each, since the machine’s speed drifts.
    const rates = { ours: [] as number[], bare: [] as number[] };
    for (let round = 0; round < 2; round++) {
      rates.ours.push(await rate(ours));
      rates.bare.push(await rate(theirs));
    }
    const usedBefore = usedMs(stack);
    await inParallel(ours, counted, countedInFlight);
    const costs = [...usedMs(stack)].map(
      ([name, ms]): Figure => ({
        name: `processor time of a run, ${name}`,
        value: (ms - usedBefore.get(name)!) / counted,
        unit: 'ms',
      }),
    );
    const aloneMs = { ours: await timed(ours), bare: await timed(theirs) };
    await bare.stop();

    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const ratio = mean(rates.ours) / mean(rates.bare);
    const p50 = percentile(aloneMs.ours, 0.5);
    return [
      {
        name: 'runs/s, 64 in flight',
        value: mean(rates.ours),
        unit: 'runs/s',
        goal: '≥ 45 runs/s',
        met: mean(rates.ours) >= 45,
      },
      { name: 'bare workflows/s, 64 in flight', value: mean(rates.bare), unit: 'runs/s' },
      { name: 'ratio to bare', value: ratio, unit: '×', goal: '≥ 0.8×', met: ratio >= 0.8 },
      { name: 'end to end alone, p50', value: p50, unit: 'ms', goal: '≤ 40 ms', met: p50 <= 40 },
      { name: 'bare alone, p50', value: percentile(aloneMs.bare, 0.5), unit: 'ms' },
      ...costs,
    ];
  } finally {
    await stack.stop();
  }
}

/** Milliseconds of a processor by process; both workers are one. */
function usedMs(stack: DevStack): Map<string, number> {
  const used = new Map<string, number>();
  for (const [name, pids] of processesOf(stack)) {
    const kind = name.replace(/-\d+$/, 's');
    used.set(kind, (used.get(kind) ?? 0) + processorMs(pids));
  }
  return used;
}

async function rate(work: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await inParallel(work, total, inFlight);
  return total / ((performance.now() - from) / 1000);
}

async function inParallel(work: () => Promise<void>, count: number, lanes: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (left-- > 0) await work();
    }),
  );
}

async function timed(work: () => Promise<void>): Promise<number[]> {
  const tookMs: number[] = [];
  for (let i = 0; i < alone; i++) {
    const from = performance.now();
    await work();
    tookMs.push(performance.now() - from);
  }
  return tookMs;
}
