import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type Logger } from '@temporalio/worker';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The modules that carry identity through every workflow; without them a run could touch nothing. */
export const workflowInterceptorModules = [join(root, 'adapters/temporal/workflowInterceptors.ts')];
/** How the workflows read what reaches them. */
export const payloadConverterPath = join(root, 'adapters/temporal/lenientConverter.ts');
export const workflowsPath = join(root, 'workflows/index.ts');

/** Bundles the workflows into a file, for every worker to run the same code without bundling it itself. */
export async function bundleWorkflows(file: string, logger?: Logger): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules,
    payloadConverterPath,
    ...(logger && { logger }),
  });
  await mkdir(dirname(file), { recursive: true });
  // Written aside and renamed, so that no process reads half of it.
  const aside = `${file}.${process.pid}`;
  await writeFile(aside, code);
  await rename(aside, file);
}
