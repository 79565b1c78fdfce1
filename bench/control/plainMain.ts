import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { Order } from './order.ts';

/*
 * The loader of orders that most would write: one thread, readline, zod, and for each 10,000 rows a COPY into a temporary table and a
 * merge. `node bench/control/plainMain.ts DATABASE_URL FILE`
 */

const [url, file] = process.argv.slice(2);
const client = new pg.Client({ connectionString: url });
await client.connect();
await client.query(`CREATE TABLE IF NOT EXISTS control_orders (order_id text PRIMARY KEY, placed_at timestamptz NOT NULL,
  customer_id text NOT NULL, country text NOT NULL, currency text NOT NULL, amount_cents bigint NOT NULL, items integer NOT NULL,
  lines jsonb NOT NULL, channel text NOT NULL, status text NOT NULL, note text, position bigint NOT NULL)`);
await client.query('TRUNCATE control_orders');
await client.query('CREATE TEMP TABLE incoming (LIKE control_orders) ON COMMIT DELETE ROWS');

let position = 0;
let rows = 0;
let batch = new Map<string, string>();
for await (const line of createInterface({
  input: createReadStream(file!),
  crlfDelay: Number.POSITIVE_INFINITY,
})) {
  position++;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    continue;
  }
  const parsed = Order.safeParse(value);
  if (!parsed.success || line.includes('\\u0000')) continue;
  const order = parsed.data;
  if (order.test || order.currency !== 'EUR') continue;
  const amount = order.lines.reduce((sum, l) => sum + l.quantity * l.unit_price_cents, 0);
  const items = order.lines.reduce((sum, l) => sum + l.quantity, 0);
  const texts = [
    order.order_id,
    order.placed_at,
    order.customer.id,
    order.customer.country,
    order.currency,
    amount,
    items,
    JSON.stringify(order.lines),
    order.channel,
    order.status,
    order.note ?? null,
    position,
  ];
  batch.set(
    order.order_id,
    texts.map((text) => (text === null ? '\\N' : String(text).replace(/[\\\t\n\r]/g, '\\$&'))).join('\t'),
  );
  if (batch.size >= 10_000) await store();
}
await store();
await client.end();
console.log(JSON.stringify({ rows }));

async function store(): Promise<void> {
  if (batch.size === 0) return;
  await client.query('BEGIN');
  const copy = client.query(copyFrom('COPY incoming FROM STDIN'));
  await new Promise<void>((resolve, reject) =>
    copy
      .on('error', reject)
      .on('finish', resolve)
      .end(`${[...batch.values()].join('\n')}\n`),
  );
  await client.query(`INSERT INTO control_orders SELECT * FROM incoming ON CONFLICT (order_id) DO UPDATE SET
    (placed_at, customer_id, country, currency, amount_cents, items, lines, channel, status, note, position) =
    (EXCLUDED.placed_at, EXCLUDED.customer_id, EXCLUDED.country, EXCLUDED.currency, EXCLUDED.amount_cents, EXCLUDED.items,
     EXCLUDED.lines, EXCLUDED.channel, EXCLUDED.status, EXCLUDED.note, EXCLUDED.position)`);
  await client.query('COMMIT');
  rows += batch.size;
  batch = new Map();
}
