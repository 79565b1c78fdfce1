import type { DevJson } from '../dev/devJson.ts';

export interface Forgery {
  workflowId: string;
  /** Why it was refused, or `undefined` where it was not: then something is very wrong. */
  code: string | undefined;
}

/** What somebody can do who reaches Temporal and not Waybill: start the workflow by hand. It carries no grant. */
export async function startByHand({ temporalAddress }: DevJson): Promise<Forgery> {
  const { Client, Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address: temporalAddress });
  const workflowId = `birdstrikes-by-hand-${Date.now()}`;
  try {
    const input = {
      runId: workflowId,
      pipeline: 'birdstrikes',
      version: 1,
      concurrency: 1,
      deadlineMs: 60_000,
    };
    await new Client({ connection }).workflow.execute('runPipeline', {
      workflowId,
      taskQueue: 'waybill',
      args: [{ ...input, pulled: false }],
      workflowExecutionTimeout: '30 s',
    });
    return { workflowId, code: undefined };
  } catch (error) {
    return { workflowId, code: codeIn(error) };
  } finally {
    await connection.close();
  }
}

/** Our code is the type of the innermost failure. Throws what carries none. */
function codeIn(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('type' in cause && typeof cause.type === 'string') return cause.type;
  }
  throw error;
}
