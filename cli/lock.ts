import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isRunning, type ProcessRecord, readRecord, recordOf } from './processRecord.ts';

export type Lock = { held: true; release(): Promise<void> } | { held: false; by: ProcessRecord };

/**
 * A lock between processes of one machine: a file that names its holder. It is free when the file is missing or
 * its holder no longer runs, so that a killed holder does not lock the others out.
 */
export async function takeLock(file: string): Promise<Lock> {
  const mine = JSON.stringify(recordOf(process.pid));
  const candidate = `${file}.${process.pid}.${performance.now()}`;
  await writeFile(candidate, mine, { mode: 0o600 });
  try {
    for (;;) {
      // A link fails where the name exists, and the file that it names is complete.
      if (await link(candidate, file).then(() => true, existing))
        return { held: true, release: () => release(file, mine) };
      const text = await readFile(file, 'utf8').catch(() => undefined);
      if (text === undefined) continue;
      const holder = readRecord(text);
      if (holder && isRunning(holder)) return { held: false, by: holder };
      await discard(file, text);
    }
  } finally {
    await rm(candidate, { force: true });
  }
}

/** Takes the stale lock away, unless another has done so and holds it by now; then it is put back. */
async function discard(file: string, stale: string): Promise<void> {
  const aside = `${file}.${process.pid}.stale`;
  await rename(file, aside).catch(() => {});
  const taken = await readFile(aside, 'utf8').catch(() => stale);
  if (taken !== stale) await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
}

async function release(file: string, mine: string): Promise<void> {
  if ((await readFile(file, 'utf8').catch(() => '')) === mine) await rm(file, { force: true });
}

function existing(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}
