import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { z } from 'zod';
import { Order, type OrderRecord } from './order.ts';

/*
 * The fastest hand-written loader of orders that we know how to write: the main thread only cuts at newlines; each of two threads owns a
 * connection and one transaction for each 4 MiB, validates with zod’s generated parser and streams slices into an open COPY, which
 * one statement merges. It loads the same rows as Waybill, with nothing else: no identity, no policy, no audit, no dead letters kept,
 * no retry, and after a crash it begins again.
 *
 * `node bench/control/fastestMain.ts DATABASE_URL FILE`
 */

const blockBytes = 4 * 1024 * 1024;
const sliceBytes = 256 * 1024;

if (isMainThread) await main(process.argv[2]!, process.argv[3]!);
else await work(workerData.url);

async function main(url: string, file: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE TABLE IF NOT EXISTS control_orders (order_id text PRIMARY KEY, placed_at timestamptz NOT NULL,
    customer_id text NOT NULL, country text NOT NULL, currency text NOT NULL, amount_cents bigint NOT NULL, items integer NOT NULL,
    lines jsonb NOT NULL, channel text NOT NULL, status text NOT NULL, note text, position bigint NOT NULL)`);
  await client.query('TRUNCATE control_orders');
  await client.end();
  const script = fileURLToPath(import.meta.url);
  const limits = { maxYoungGenerationSizeMb: 64 };
  const threads = [0, 1].map(() => new Worker(script, { workerData: { url }, resourceLimits: limits }));
  const idle: Worker[] = [];
  let wake = () => {};
  let done = 0;
  let rows = 0;
  for (const thread of threads) {
    thread.on('message', (stored: number) => {
      rows += stored;
      done++;
      idle.push(thread);
      wake();
    });
  }
  idle.push(...threads);
  let sent = 0;
  async function give(block: Uint8Array, position: number): Promise<void> {
    while (idle.length === 0)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    sent++;
    idle.shift()!.postMessage({ block, position }, [block.buffer as ArrayBuffer]);
  }
  let rest = Buffer.alloc(0);
  let position = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: blockBytes })) {
    const bytes = chunk as Buffer;
    const end = bytes.lastIndexOf(0x0a) + 1;
    const block = Buffer.allocUnsafeSlow(rest.length + end);
    rest.copy(block, 0);
    bytes.copy(block, rest.length, 0, end);
    rest = Buffer.from(bytes.subarray(end));
    await give(block, position);
    position += blockBytes;
  }
  if (rest.length > 0) await give(Buffer.from(rest), position);
  while (done < sent)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  for (const thread of threads) await thread.terminate();
  console.log(JSON.stringify({ rows }));
}

async function work(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE TEMP TABLE incoming (LIKE control_orders) ON COMMIT DELETE ROWS`);
  const order = z.compile(Order);
  parentPort!.on('message', async ({ block, position }: { block: Uint8Array; position: number }) => {
    const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    const latest = new Map<string, string>();
    for (let start = 0; start < bytes.length; ) {
      const next = bytes.indexOf(0x0a, start);
      const end = next < 0 ? bytes.length : next;
      const row = rowOf(order, bytes.toString('utf8', start, end), position + start);
      if (row) latest.set(row.key, row.text);
      start = end + 1;
    }
    await client.query('BEGIN');
    const copy = client.query(copyFrom('COPY incoming FROM STDIN'));
    let slice = '';
    for (const text of latest.values()) {
      slice += text;
      if (slice.length >= sliceBytes) {
        if (!copy.write(slice)) await new Promise((resolve) => copy.once('drain', resolve));
        slice = '';
      }
    }
    await new Promise<void>((resolve, reject) => copy.on('error', reject).on('finish', resolve).end(slice));
    await client.query(merge);
    await client.query('COMMIT');
    parentPort!.postMessage(latest.size);
  });
}

const columns =
  'placed_at customer_id country currency amount_cents items lines channel status note position'.split(' ');
const merge = `INSERT INTO control_orders AS t SELECT * FROM incoming ON CONFLICT (order_id) DO UPDATE
  SET ${columns.map((name) => `${name} = EXCLUDED.${name}`).join(', ')} WHERE t.position < EXCLUDED.position`;

function rowOf(
  order: z.ZodType<OrderRecord>,
  line: string,
  position: number,
): { key: string; text: string } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = order.safeParse(value);
  if (!parsed.success || line.includes('\\u0000')) return undefined;
  const o = parsed.data;
  if (o.test || o.currency !== 'EUR') return undefined;
  let amount = 0;
  let items = 0;
  for (const l of o.lines) {
    amount += l.quantity * l.unit_price_cents;
    items += l.quantity;
  }
  const fields = `${o.order_id}\t${o.placed_at}\t${o.customer.id}\t${o.customer.country}\t${o.currency}\t${amount}\t${items}\t${JSON.stringify(o.lines)}`;
  const note = o.note === undefined ? '\\N' : o.note.replace(/[\\\t\n\r]/g, '\\$&');
  return { key: o.order_id, text: `${fields}\t${o.channel}\t${o.status}\t${note}\t${position}\n` };
}
