import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning, type ProcessRecord, readRecord, recordOf } from '../../cli/processRecord.ts';

/** Writes down that a process is ours, so that the next start can end it if we cannot. */
export function rememberProcess(folder: string, name: string, pid: number): void {
  const record = recordOf(pid);
  if (record) writeFileSync(join(folder, `${name}.pid`), JSON.stringify(record), { mode: 0o600 });
}

export function forgetProcess(folder: string, name: string): void {
  rmSync(join(folder, `${name}.pid`), { force: true });
}

/**
 * Ends what an earlier supervisor of this home left running, and only that: a process counts as ours when both its
 * pid and the moment of its start are as recorded. Returns the names of those that were ended.
 */
export async function endLeftovers(folder: string): Promise<string[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.pid'));
  const ended = await Promise.all(
    files.map(async (file) => {
      const record = readRecord(readFileSync(join(folder, file), 'utf8'));
      const ours = record !== undefined && isRunning(record);
      if (ours) await end(record, file.startsWith('postgres') ? 'SIGINT' : 'SIGTERM');
      await rm(join(folder, file), { force: true });
      return ours ? [file.slice(0, -'.pid'.length)] : [];
    }),
  );
  return ended.flat().sort();
}

const graceMs = 5_000;
const pollMs = 20;

async function end(record: ProcessRecord, signal: NodeJS.Signals): Promise<void> {
  for (const [step, ms] of [
    [signal, graceMs],
    ['SIGKILL', graceMs],
  ] as const) {
    signalIfRunning(record, step);
    for (const start = performance.now(); isRunning(record); ) {
      if (performance.now() - start > ms) break;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }
  if (isRunning(record))
    throw new Error(`Process ${record.pid} of an earlier start does not end. End it and start again.`);
}

function signalIfRunning(record: ProcessRecord, signal: NodeJS.Signals): void {
  if (!isRunning(record)) return;
  try {
    process.kill(record.pid, signal);
  } catch {
    // It ended in between.
  }
}
