import type { Client } from '@temporalio/client';
import type { DeliveryLog, DueDeliveries } from '../domain/ports/deliveries.ts';
import { deliveryWorkflowId } from '../domain/webhooks/webhookDelivery.ts';
import { statusOf } from './workflowStatus.ts';

const deliveriesMax = 50;

/**
 * Looks at a page of pending deliveries after `afterId` and returns where the next begins. One that Temporal has lost is
 * started again; one that was ended there from outside is abandoned, as that user wanted.
 */
export async function reconcileDeliveries(
  {
    dueDeliveries,
    client,
    deliveries,
  }: { dueDeliveries: DueDeliveries; client: Client; deliveries: DeliveryLog },
  afterId: string,
): Promise<string> {
  const pending = await dueDeliveries.listPending(afterId, deliveriesMax);
  for (const delivery of pending) {
    const { status } = await statusOf(client, deliveryWorkflowId(delivery));
    if (status === 'unknown') await dueDeliveries.restart(delivery);
    else if (status !== 'RUNNING') await deliveries.abandon(delivery);
  }
  return pending.length < deliveriesMax ? '' : pending.at(-1)!.id;
}
