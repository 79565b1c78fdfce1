/**
 * Writes data for a pipeline of this project: the same arguments write the same bytes, at constant memory.
 *
 *   npm run generate -- orders --rows 200000 --seed 7 --invalid 1% --out orders.ndjson --expect orders.json
 */
import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { generateOrders } from './generate/orders.ts';

const usage = `usage: npm run generate -- orders [options]
  --rows N         lines to write, default 1000
  --seed TEXT      another seed writes other orders, default 1
  --invalid SHARE  share of lines that are refused, such as 1% or 0.01, default 0
  --currency CODE  of the orders that are valid, default EUR
  --out FILE       default: standard output
  --expect FILE    writes the counts that a run over an empty table must end with, as JSON`;

try {
  await main();
} catch (error) {
  // The reader of the output may stop early (`| head`).
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0);
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rows: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
      invalid: { type: 'string', default: '0' },
      currency: { type: 'string', default: 'EUR' },
      out: { type: 'string' },
      expect: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return console.log(usage);
  if (positionals.length !== 1 || positionals[0] !== 'orders') throw new Error(usage);
  const { chunks, expected } = generateOrders({
    rows: whole(values.rows),
    seed: values.seed,
    invalid: share(values.invalid),
    currency: values.currency,
  });
  await pipeline(Readable.from(chunks), values.out ? createWriteStream(values.out) : process.stdout);
  if (values.expect) await writeFile(values.expect, `${JSON.stringify(expected(), null, 2)}\n`);
}

function whole(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--rows: ${text} is not a number of lines`);
  return Number(text);
}

function share(text: string): number {
  const value = text.endsWith('%') ? Number(text.slice(0, -1)) / 100 : Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1))
    throw new Error(`--invalid: ${text} is not a share of 0 to 1`);
  return value;
}
