import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type DevStack, startDevStack } from '../test/support/devStack.ts';
import type { Figure } from './figure.ts';
import { generateOrders } from './generateOrders.ts';
import { processesOf, stackMiB } from './memory.ts';
import { processorMs } from './processorTime.ts';
import { untilEnded } from './smallRun.ts';

const rows = Number(process.env.WAYBILL_BENCH_ROWS ?? 1_000_000);

/**
 * Generated orders, one in a hundred invalid, into an empty table: by Waybill, by the fastest script that we can write, and by the one
 * that most would write (`bench/control/`), one after the other on the same PostgreSQL.
 */
export async function records(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-bench-'));
  const stack = await startDevStack();
  try {
    const file = join(folder, 'orders.ndjson');
    await generateOrders(file, rows);
    const fastest = await runScript(stack, 'fastest', file);
    const plain = await runScript(stack, 'plain', file);
    const idleMiB = stackMiB(stack).total;
    const first = await runPipeline(stack, file);
    const again = await runPipeline(stack, file);
    const ratio = (name: string, value: number, goal: number): Figure => ({
      name,
      value,
      unit: '×',
      goal: `≥ ${goal} ×`,
      met: value >= goal,
    });
    return [
      { name: 'records/s, upload to completed', value: rows / first.tookS, unit: 'records/s' },
      ratio('of the fastest script', fastest.tookS / first.tookS, 0.8),
      ratio('of the plain script', plain.tookS / first.tookS, 2),
      ratio('the same input again, quicker', first.tookS / again.tookS, 5),
      { name: 'input', value: (await stat(file)).size / 2 ** 20, unit: 'MiB' },
      ...seconds('Waybill', first),
      { name: '  until 202', value: first.uploadedS, unit: 's' },
      ...seconds('Waybill, the same input again', again),
      ...seconds('fastest script', fastest),
      ...seconds('plain script', plain),
      {
        name: 'peak PSS of the whole stack above idle',
        value: first.peakMiB - idleMiB,
        unit: 'MiB',
        goal: '≤ 400 MiB',
        met: first.peakMiB - idleMiB <= 400,
      },
      ...[...first.peaksMiB].map(([name, value]) => ({ name: `  peak ${name}`, value, unit: 'MiB' })),
    ];
  } finally {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Load {
  tookS: number;
  /** By process. */
  processorS: Map<string, number>;
}

function seconds(name: string, { tookS, processorS }: Load): Figure[] {
  const all = [...processorS.values()].reduce((a, b) => a + b, 0);
  return [
    { name: `${name}: wall`, value: tookS, unit: 's' },
    { name: `${name}: processors`, value: all, unit: 's' },
    ...[...processorS].map(([process, value]) => ({ name: `  ${process}`, value, unit: 's' })),
  ];
}

async function runPipeline(stack: DevStack, file: string) {
  const call = await stack.as('alice');
  let peakMiB = 0;
  const peaksMiB = new Map<string, number>();
  const sampling = setInterval(() => {
    const now = stackMiB(stack);
    peakMiB = Math.max(peakMiB, now.total);
    for (const [name, value] of now.byName) peaksMiB.set(name, Math.max(peaksMiB.get(name) ?? 0, value));
  }, 1_000);
  const before = processorByName(stack);
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
  return { tookS, uploadedS, processorS: since(before, stack), peakMiB, peaksMiB };
}

/** The script’s own processor seconds are those of its process; PostgreSQL’s are those of the stack. */
async function runScript(stack: DevStack, name: string, file: string): Promise<Load> {
  const before = processorByName(stack);
  const from = performance.now();
  const script = fileURLToPath(new URL(`control/${name}Main.ts`, import.meta.url));
  const measured = `process.on('exit', () => { const { user, system } = process.cpuUsage(); console.error((user + system) / 1e6); });`;
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(measured)}`,
      script,
      stack.info().databaseUrl,
      file,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`${name}: ${said}`);
  const tookS = (performance.now() - from) / 1000;
  const spent = since(before, stack);
  const own = Number(said.trim().split('\n').at(-1));
  const client = new pg.Client({ connectionString: stack.info().databaseUrl });
  await client.connect();
  await client.query('DROP TABLE control_orders');
  await client.end();
  return {
    tookS,
    processorS: new Map([
      [name, own],
      ['postgres', spent.get('postgres')!],
    ]),
  };
}

function processorByName(stack: DevStack): Map<string, Map<number, number>> {
  return new Map(
    [...processesOf(stack)].map(([name, pids]) => [name, new Map(pids.map((pid) => [pid, spentMs(pid)]))]),
  );
}

/** Backends come and go; what one had spent before it was seen counts. */
function since(before: Map<string, Map<number, number>>, stack: DevStack): Map<string, number> {
  return new Map(
    [...processorByName(stack)].map(([name, pids]) => [
      name,
      [...pids].reduce((sum, [pid, ms]) => sum + ms - (before.get(name)?.get(pid) ?? 0), 0) / 1000,
    ]),
  );
}

/** With what a process’s children had spent that have ended, such as a backend of PostgreSQL. */
function spentMs(pid: number): number {
  try {
    return processorMs([pid], { endedChildren: true });
  } catch {
    return 0;
  }
}
