import { baseOf } from '../../../domain/links.ts';
import type { Progress } from '../../../domain/ports/progress.ts';
import type { Tenants } from '../tenants.ts';
import { askOfRun } from './askOfRun.ts';
import { progressOfBatches, type WaitForRun } from './progressOfBatches.ts';
import { progressOfRuns } from './progressOfRuns.ts';
import { progressOfStages } from './progressOfStages.ts';

/** `publicUrl` is where links in events lead. */
export function createProgress(tenants: Tenants, waitForRun: WaitForRun, publicUrl?: string): Progress {
  const ask = askOfRun(tenants);
  return {
    ...progressOfRuns(ask, baseOf(publicUrl)),
    ...progressOfBatches(tenants, ask, waitForRun),
    ...progressOfStages(ask),
  };
}
