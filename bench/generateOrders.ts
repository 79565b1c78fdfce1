import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const script = fileURLToPath(new URL('../examples/acme/generate.ts', import.meta.url));

/** Writes orders, one in a hundred invalid, and resolves with the counts that a run over an empty table must end with. */
export async function generateOrders(file: string, rows: number): Promise<Record<string, unknown>> {
  const expect = `${file}.expected.json`;
  const args = [
    'orders',
    '--rows',
    String(rows),
    '--seed',
    '7',
    '--invalid',
    '1%',
    '--out',
    file,
    '--expect',
    expect,
  ];
  await promisify(execFile)(process.execPath, [script, ...args]);
  return JSON.parse(await readFile(expect, 'utf8'));
}
