import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { writeAtomically } from './writeAtomically.ts';

/**
 * Bundles the workflows, once for all workers, into the file that is the only argument. A process of its own,
 * because the bundler wants more memory than everything else of the supervisor.
 */
const file = process.argv[2]!;
const fromRoot = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

const { code } = await bundleWorkflowCode({
  workflowsPath: fromRoot('workflows/index.ts'),
  workflowInterceptorModules: [fromRoot('adapters/temporal/workflowInterceptors.ts')],
  logger: new DefaultLogger('WARN'),
});
await mkdir(dirname(file), { recursive: true });
writeAtomically(file, code);
process.exit(0);
