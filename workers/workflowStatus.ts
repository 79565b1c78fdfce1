import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** What Temporal says of a workflow, and the id of its present execution; `unknown` where it has none of that id. */
export async function statusOf(
  client: Client,
  workflowId: string,
): Promise<{ status: string; temporalRunId: string }> {
  try {
    const { status, runId } = await client.workflow.getHandle(workflowId).describe();
    return { status: status.name, temporalRunId: runId };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { status: 'unknown', temporalRunId: '' };
    throw error;
  }
}
