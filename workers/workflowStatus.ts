import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** What Temporal says of a workflow; `unknown` where it has none of that id. */
export async function statusOf(client: Client, workflowId: string): Promise<string> {
  try {
    return (await client.workflow.getHandle(workflowId).describe()).status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'unknown';
    throw error;
  }
}
