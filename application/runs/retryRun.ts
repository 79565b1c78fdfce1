import { WaybillError } from '../../domain/errors.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions } from '../ports.ts';
import { pipelineNotFound } from '../readable.ts';
import { acceptRun } from './acceptRun.ts';
import { authorizeRun } from './authorizeRun.ts';

/**
 * A failed or cancelled run again, under the grant of the caller and by the current definition: what it has not stored of its pinned input. Throws
 * `RunNotFailed`, `PipelineNotFound`, `Forbidden` and what `acceptRetry` throws.
 */
export async function retryRun(
  ports: Parameters<typeof acceptRun>[0],
  options: ApplicationOptions,
  authorization: Authorization,
): Promise<Run> {
  const of = authorization.run!;
  const pipeline = ports.definitions.find(of.pipeline);
  if (!pipeline) throw pipelineNotFound(ports, authorization.principal, of.pipeline);
  const [decision] = await authorizeRun(ports, { ...authorization, pipeline });
  if (of.state !== 'failed' && of.state !== 'cancelled') throw new WaybillError('RunNotFailed');
  const { policies, digest } = decision!;
  const caller = { ...authorization, pipeline, policies, policyDigest: digest };
  const { run } = await acceptRun(ports, options, caller, { kind: 'retry', of });
  return run;
}
