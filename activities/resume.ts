import type { Dependencies } from './index.ts';
import { audited, runOf } from './run.ts';

/**
 * Records that the run goes on. The guard before it has asked for every right that the steps to come need; as long as
 * one of them is missing, this attempt is refused and the run stays suspended.
 */
export async function resumeStep(deps: Dependencies): Promise<void> {
  const run = await runOf(deps);
  await deps.runs.resume(run, audited(deps, 'run.resumed'));
}
