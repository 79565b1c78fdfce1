import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type Logger } from '@temporalio/worker';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The modules that carry identity through every workflow; without them a run could touch nothing. */
export const workflowInterceptorModules = [join(root, 'adapters/temporal/workflowInterceptors.ts')];
export const workflowsPath = join(root, 'workflows/index.ts');

/** Bundles the workflows into a file, for every worker to run the same code without bundling it itself. */
export async function bundleWorkflows(file: string, logger?: Logger): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules,
    ...(logger && { logger }),
  });
  await mkdir(dirname(file), { recursive: true });
  // Written aside and renamed, so that nobody reads half of it.
  const aside = `${file}.${process.pid}`;
  await writeFile(aside, code);
  await rename(aside, file);
}

/** The bundle in `folder` for the workflows as they are now; made when it is not there yet. */
export async function cachedBundle(folder: string, logger?: Logger): Promise<string> {
  const file = join(folder, `workflows-${await digestOfSources()}.js`);
  const found = await stat(file).catch(() => undefined);
  if (!found) await bundleWorkflows(file, logger);
  return file;
}

/** Over all that a bundle is made of: our files, and the SDK by the lock file or its own version. */
async function digestOfSources(): Promise<string> {
  const hash = createHash('sha256');
  for (const folder of ['workflows', 'domain', 'adapters/temporal']) {
    for (const name of (await readdir(join(root, folder))).filter((n) => n.endsWith('.ts')).sort()) {
      hash.update(name).update(await readFile(join(root, folder, name)));
    }
  }
  const sdk = import.meta.resolve('@temporalio/workflow/package.json');
  hash.update(await readFile(fileURLToPath(sdk)));
  return hash.digest('hex').slice(0, 16);
}
