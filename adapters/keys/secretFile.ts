import { open, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Throws where others than its owner can read the file. */
export async function readSecret(file: string): Promise<unknown> {
  const { mode } = await stat(file);
  if ((mode & 0o077) !== 0)
    throw new Error(`${file} can be read by others than its owner. chmod 600 it, or better: make a new key.`);
  return JSON.parse(await readFile(file, 'utf8'));
}

/** Durable and whole, its name included, so that what relies on it may be recorded next. */
export async function keepSecret(file: string, secret: object): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  const handle = await open(partial, 'wx', 0o600);
  try {
    await handle.writeFile(JSON.stringify(secret));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
  const folder = await open(dirname(file));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
