import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/**
 * What Temporal says of a workflow, and in which execution it began, whatever followed on that; `unknown` where it has
 * none of that id.
 */
export async function statusOf(
  client: Client,
  workflowId: string,
): Promise<{ status: string; firstExecution: string }> {
  try {
    const { status, raw } = await client.workflow.getHandle(workflowId).describe();
    return { status: status.name, firstExecution: raw.workflowExecutionInfo?.firstRunId ?? '' };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { status: 'unknown', firstExecution: '' };
    throw error;
  }
}
