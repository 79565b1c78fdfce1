import { createHash } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runToEnd } from '../binaries/runToEnd.ts';
import type { Home } from './home.ts';
import { nodeFlags, packageFile } from './nodeService.ts';

/**
 * The bundle of the workflows as they are now; made where the home has none of this digest (about 4 s), in a process
 * of its own, because the bundler wants more memory than everything else of the supervisor.
 */
export async function ensureWorkflowBundle(home: Home, signal: AbortSignal): Promise<string> {
  const name = `${await digestOfSources()}.js`;
  const file = join(home.bundle, name);
  if (await stat(file).catch(() => undefined)) return file;
  await runToEnd(process.execPath, [...nodeFlags, packageFile('workers/bundleMain.ts'), file], { signal });
  for (const other of await readdir(home.bundle)) {
    if (other !== name) await rm(join(home.bundle, other), { force: true });
  }
  return file;
}

/** Everything that may be bundled; a change elsewhere cannot change what workflows do. */
const sources = ['workflows', 'domain', 'adapters/temporal'];
const dependencies = ['package.json', 'package-lock.json'];

async function digestOfSources(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of sources) {
    for (const name of (await readdir(packageFile(folder), { recursive: true })).sort()) {
      if (name.endsWith('.ts'))
        hash.update(`${folder}/${name}\0`).update(await readFile(packageFile(`${folder}/${name}`)));
    }
  }
  for (const name of dependencies) hash.update(await readFile(packageFile(name)).catch(() => ''));
  return hash.digest('hex').slice(0, 32);
}
