import { CancellationScope, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { WebhookDeliveryActivities } from '../activities/deliver.ts';
import { deliveryQueueOf } from '../domain/taskQueues.ts';
import { deliveryTimeouts } from './timeouts.ts';

/**
 * Delivers one event to one receiver: retries for about three days, then dead-letters it. Its only input is its workflow id, by which
 * its activities find the one row that they may touch.
 */
export async function deliverWebhook(): Promise<'delivered' | 'dead-lettered' | 'over'> {
  const taskQueue = deliveryQueueOf(workflowInfo().taskQueue);
  const { deliver } = proxyActivities<WebhookDeliveryActivities>({ ...deliveryTimeouts.deliver, taskQueue });
  const { abandon } = proxyActivities<WebhookDeliveryActivities>({ ...deliveryTimeouts.abandon, taskQueue });
  try {
    return await deliver();
  } catch {
    return CancellationScope.nonCancellable(() => abandon());
  }
}
