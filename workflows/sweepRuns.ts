import { proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { Sweeper } from '../activities/sweep.ts';
import { firingQueueOf } from '../domain/taskQueues.ts';
import { sweeperTimeouts } from './timeouts.ts';

/** What is left after so many steps is for the next sweep. */
const stepsMax = 500;

/**
 * Removes what the retention of the pipelines does not keep any longer, step by step. A schedule of Waybill’s own starts it. Any client of
 * Temporal can start it too, and changes nothing by that: the database decides what is due.
 */
export async function sweepRuns(): Promise<{ runs: number }> {
  const { sweep } = proxyActivities<Sweeper>({
    ...sweeperTimeouts.sweep,
    taskQueue: firingQueueOf(workflowInfo().taskQueue),
  });
  let swept = 0;
  for (let step = 0; step < stepsMax; step++) {
    const { runs, more } = await sweep();
    swept += runs;
    if (!more) break;
  }
  return { runs: swept };
}
