import { type Client, WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/client';
import { searchAttributesOfTenant } from '../adapters/temporal/searchAttributes.ts';
import type { DueDelivery } from '../domain/ports/deliveries.ts';
import { deliveryWorkflow, deliveryWorkflowId } from '../domain/webhooks/webhookDelivery.ts';
import { workflowTaskTimeout } from '../workflows/timeouts.ts';

/** Starts the one workflow of a round of a delivery. It carries no grant and no argument: the row says everything. */
export async function startDelivery(
  { client, taskQueue }: { client: Client; taskQueue: string },
  delivery: DueDelivery,
): Promise<void> {
  const { tenant, about, type, host } = delivery;
  await client.workflow.start(deliveryWorkflow, {
    workflowId: deliveryWorkflowId(delivery),
    workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
    taskQueue,
    args: [],
    workflowTaskTimeout,
    typedSearchAttributes: searchAttributesOfTenant(tenant),
    staticSummary: `${type} of ${about} to ${host}`,
    priority: { fairnessKey: tenant },
  });
}
