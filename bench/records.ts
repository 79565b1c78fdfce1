import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { startDevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';
import { generateOrders } from './generateOrders.ts';
import { stackMiB } from './memory.ts';
import { untilEnded } from './smallRun.ts';

const rows = 1_000_000;

/** One million generated orders, from the first byte of the upload to the completed run. */
export async function records(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-bench-'));
  const stack = await startDevStack();
  try {
    const file = join(folder, 'orders.ndjson');
    await generateOrders(file, rows);
    const call = await stack.as('alice');
    let peak = 0;
    const byName = new Map<string, number>();
    const sampling = setInterval(() => {
      const now = stackMiB(stack);
      peak = Math.max(peak, now.total);
      for (const [name, value] of now.byName) byName.set(name, Math.max(byName.get(name) ?? 0, value));
    }, 1_000);

    const from = performance.now();
    const response = await call('/v1/pipelines/orders/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: Readable.toWeb(createReadStream(file)) as ReadableStream,
      duplex: 'half',
    } as RequestInit);
    const uploadedS = (performance.now() - from) / 1000;
    const { id } = (await response.json()) as { id: string };
    if (response.status !== 202) throw new Error(`upload: ${response.status}`);
    const state = await untilEnded(call, id);
    const tookS = (performance.now() - from) / 1000;
    clearInterval(sampling);
    if (state !== 'completed') throw new Error(`${id} ${state}`);
    return [
      { name: 'records/s, upload to completed', value: rows / tookS, unit: 'records/s' },
      { name: 'seconds in all', value: tookS, unit: 's' },
      { name: 'seconds until 202', value: uploadedS, unit: 's' },
      { name: 'input', value: (await stat(file)).size / 2 ** 20, unit: 'MiB' },
      { name: 'peak PSS of the whole stack', value: peak, unit: 'MiB' },
      ...[...byName].map(([name, value]) => ({ name: `  peak ${name}`, value, unit: 'MiB' })),
    ];
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
