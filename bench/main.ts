import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { decisions } from './decisions.ts';
import type { Figure } from './figure.ts';
import { identity } from './identity.ts';
import { idle } from './idle.ts';
import { neighbour } from './neighbour.ts';
import { records } from './records.ts';
import { recovery } from './recovery.ts';
import { runs } from './runs.ts';
import { trigger } from './trigger.ts';

/*
 * `npm run bench [-- NAME …]`: each benchmark brings up the embedded stack in a temporary home, measures, prints a
 * table and writes bench/results/NAME.json. Ratios are taken within one run, on one server.
 */

const benchmarks: Record<string, () => Promise<Figure[]>> = {
  trigger,
  runs,
  records,
  recovery,
  neighbour,
  idle,
  decisions,
  identity,
};

const { positionals } = parseArgs({ allowPositionals: true });
const unknown = positionals.filter((name) => !(name in benchmarks));
if (unknown.length > 0) {
  console.error(`No benchmark ${unknown.join(', ')}. There are: ${Object.keys(benchmarks).join(', ')}.`);
  process.exit(2);
}

const results = fileURLToPath(new URL('results/', import.meta.url));
await mkdir(results, { recursive: true });
const machine = {
  processors: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
};

for (const name of positionals.length > 0 ? positionals : Object.keys(benchmarks)) {
  const figures = await benchmarks[name]!();
  await writeFile(join(results, `${name}.json`), `${JSON.stringify({ name, machine, figures }, null, 2)}\n`);
  console.log(`\n${name}`);
  for (const { name: figure, value, unit, goal, met } of figures) {
    const verdict = goal ? `  goal ${goal}: ${met ? 'met' : 'MISSED'}` : '';
    console.log(`  ${figure.padEnd(44)} ${value.toFixed(2).padStart(12)} ${unit}${verdict}`);
  }
}
