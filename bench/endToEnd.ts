import pg from 'pg';
import { sql } from '../domain/sql.ts';
import { type DevStack, startDevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';
import { percentile } from './figure.ts';
import { startPlain } from './plain/startPlain.ts';
import { processorMs } from './processorTime.ts';
import { benchProject } from './project.ts';
import { triggerSmall, untilEnded } from './smallRun.ts';

const pairs = 150;
const warmUp = 30;

interface Took {
  id: string;
  /** From the request until the caller has seen the end. */
  seenMs: number;
}

/**
 * One small run, alone, through Waybill and through the same parts without identity, in turn. Twice the same pairs: as the caller
 * sees them, from the request on, and by the clock of the database from the acceptance to the recorded end, which leaves out
 * what identity costs at the API. What the processes of each use of the processors comes with it, which a busy machine changes less.
 */
export async function endToEnd(): Promise<Figure[]> {
  const stack = await startDevStack({ project: benchProject });
  const plain = await startPlain(stack, benchProject);
  try {
    const guarded = await stack.as('alice');
    const run = async (call: typeof guarded): Promise<Took> => {
      const from = performance.now();
      const { id } = await triggerSmall(call);
      const state = await untilEnded(call, id);
      if (state !== 'completed') throw new Error(`${id} ${state}`);
      return { id, seenMs: performance.now() - from };
    };
    const took = { ours: [] as Took[], plain: [] as Took[] };
    const both = { ours: () => run(guarded), plain: () => run(plain.call) };
    for (let i = 0; i < warmUp; i++) for (const one of Object.values(both)) await one();
    const pids = { ours: pidsOf(stack), plain: plain.pids };
    const before = { ours: usedMs(pids.ours), plain: usedMs(pids.plain) };
    for (let i = 0; i < pairs; i++) {
      // Each goes first half of the time.
      const order = i % 2 === 0 ? (['ours', 'plain'] as const) : (['plain', 'ours'] as const);
      for (const name of order) took[name].push(await both[name]());
    }
    const used = { ours: usedMs(pids.ours), plain: usedMs(pids.plain) };
    const lasted = {
      ours: await lastedMs(stack.info().databaseUrl, took.ours),
      plain: await lastedMs(plain.databaseUrl, took.plain),
    };
    const seen = {
      ours: took.ours.map(({ seenMs }) => seenMs),
      plain: took.plain.map(({ seenMs }) => seenMs),
    };
    return [
      ...compared('request to end seen', seen, '≤ 1.15×'),
      ...compared('acceptance to end recorded', lasted, '≤ 1.15×'),
      ...(['api', 'workers'] as const).flatMap((part) => [
        {
          name: `processor time of a run, ${part}`,
          value: (used.ours[part] - before.ours[part]) / pairs,
          unit: 'ms',
        },
        { name: '  without identity', value: (used.plain[part] - before.plain[part]) / pairs, unit: 'ms' },
      ]),
    ];
  } finally {
    await plain.stop();
    await stack.stop();
  }
}

type Pids = Record<'api' | 'workers', number[]>;

function pidsOf(stack: DevStack): Pids {
  return { api: [stack.pid('api')!], workers: [stack.pid('worker-1')!, stack.pid('worker-2')!] };
}

function usedMs({ api, workers }: Pids): Record<keyof Pids, number> {
  return { api: processorMs(api), workers: processorMs(workers) };
}

type Pairs = Record<'ours' | 'plain', number[]>;

function compared(what: string, { ours, plain }: Pairs, goal: string): Figure[] {
  const [p50, beside] = [percentile(ours, 0.5), percentile(plain, 0.5)];
  const ratio = p50 / beside;
  const paired = ours.map((value, i) => value / plain[i]!);
  return [
    { name: `${what}, p50`, value: p50, unit: 'ms' },
    { name: '  without identity, p50', value: beside, unit: 'ms' },
    { name: '  ratio of the two', value: ratio, unit: '×', goal, met: ratio <= 1.15 },
    { name: '  ratio of each pair, p25', value: percentile(paired, 0.25), unit: '×' },
    { name: '  ratio of each pair, p50', value: percentile(paired, 0.5), unit: '×' },
    { name: '  ratio of each pair, p75', value: percentile(paired, 0.75), unit: '×' },
  ];
}

/** In the order in which the runs were. */
async function lastedMs(databaseUrl: string, took: readonly Took[]): Promise<number[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ ms: number }>(
      sql(
        `SELECT (extract(epoch FROM r.ended_at - r.created_at) * 1000)::float8 AS ms
       FROM unnest(:ids::text[]) WITH ORDINALITY AS o (id, n) JOIN waybill.run r USING (id) ORDER BY n`,
        { ids: took.map(({ id }) => id) },
      ),
    );
    return rows.map(({ ms }) => ms);
  } finally {
    await client.end();
  }
}
