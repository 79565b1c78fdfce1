import { CancellationScope, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { Courier } from '../activities/deliver.ts';
import { deliveryQueueOf } from '../domain/taskQueues.ts';
import { courierTimeouts } from './timeouts.ts';

/**
 * One event to one receiver: tried until it is taken, for about three days, then given up, which is recorded. It is given
 * nothing but its id, by which its activities find the one row that they may touch.
 */
export async function deliverWebhook(): Promise<'delivered' | 'dead-lettered' | 'over'> {
  const taskQueue = deliveryQueueOf(workflowInfo().taskQueue);
  const { deliver } = proxyActivities<Courier>({ ...courierTimeouts.deliver, taskQueue });
  const { abandon } = proxyActivities<Courier>({ ...courierTimeouts.abandon, taskQueue });
  try {
    return await deliver();
  } catch {
    return CancellationScope.nonCancellable(() => abandon());
  }
}
