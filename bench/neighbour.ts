import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { startDevStack } from '../test/support/devStack.ts';
import { makeProject } from '../test/support/makeProject.ts';
import { type Figure, percentile } from './figure.ts';
import { generateOrders } from './generateOrders.ts';
import { triggerSmall, untilEnded } from './smallRun.ts';

const rows = Number(process.env.WAYBILL_BENCH_ROWS ?? 5_000_000);
const alone = 30;

/** How long a small run of one tenant takes alone, and while five million orders of another are under way. */
export async function neighbour(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-bench-'));
  const project = await makeProject({ from: ['bench/project', 'examples/acme'] });
  const stack = await startDevStack({ project: project.path });
  try {
    const file = join(folder, 'orders.ndjson');
    await generateOrders(file, rows);
    const [alice, dave] = [await stack.as('alice'), await stack.as('dave')];
    const small = async () => {
      const from = performance.now();
      const { id } = await triggerSmall(dave);
      await untilEnded(dave, id);
      return performance.now() - from;
    };
    const aloneMs: number[] = [];
    for (let i = 0; i < alone; i++) aloneMs.push(await small());

    let underWay = true;
    const from = performance.now();
    const large = (async () => {
      const response = await alice('/v1/pipelines/orders/runs', {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: Readable.toWeb(createReadStream(file)) as ReadableStream,
        duplex: 'half',
      } as RequestInit);
      const { id } = (await response.json()) as { id: string };
      if (response.status !== 202) throw new Error(`upload: ${response.status}`);
      const state = await untilEnded(alice, id);
      if (state !== 'completed') throw new Error(`${id} ${state}`);
    })().finally(() => {
      underWay = false;
    });
    const besideMs: number[] = [];
    while (underWay) besideMs.push(await small());
    await large;
    const tookS = (performance.now() - from) / 1000;

    const [p50Alone, p50Beside] = [percentile(aloneMs, 0.5), percentile(besideMs, 0.5)];
    return [
      { name: 'records/s of the large run', value: rows / tookS, unit: 'records/s' },
      { name: 'small run alone, p50', value: p50Alone, unit: 'ms' },
      { name: 'small run beside, p50', value: p50Beside, unit: 'ms' },
      { name: 'small run beside, p95', value: percentile(besideMs, 0.95), unit: 'ms' },
      { name: 'small runs beside', value: besideMs.length, unit: 'runs' },
      {
        name: 'beside ÷ alone, p50',
        value: p50Beside / p50Alone,
        unit: '×',
        goal: '≤ 3 ×',
        met: p50Beside <= 3 * p50Alone,
      },
    ];
  } finally {
    await stack.stop();
    await project.remove();
    await rm(folder, { recursive: true, force: true });
  }
}
