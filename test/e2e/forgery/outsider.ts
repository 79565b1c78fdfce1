import { randomUUID } from 'node:crypto';
import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import pg from 'pg';
import { clientWithGrant } from '../../../dev/attack/clientWithGrant.ts';
import type { DevStack } from '../../support/devStack.ts';

export type Outsider = Awaited<ReturnType<typeof openOutsider>>;

/** An attacker who reaches Temporal, and a look into the database at what came of the attack. */
export async function openOutsider(stack: DevStack) {
  const connection = await Connection.connect({ address: stack.info().temporalAddress });
  const database = new pg.Pool({ connectionString: stack.info().databaseUrl });
  const bare = new Client({ connection });

  const clientWith = (grant: unknown) => clientWithGrant(connection, grant);

  return {
    database,
    clientWith,
    handleOf: (id: string) => bare.workflow.getHandle(id),

    /** As the relay starts a run, with a copy of its input. Resolves with the code with which it fails. */
    async start(workflowId: string, grant: unknown): Promise<unknown> {
      return codeOf(clientWith(grant).workflow.execute('runPipeline', startOf(workflowId)));
    },

    /** To its first decision, as an operator may. */
    async reset(handle: WorkflowHandle): Promise<void> {
      const { runId } = await handle.describe();
      const { events } = await handle.fetchHistory();
      const decided = events!.find(({ workflowTaskCompletedEventAttributes: done }) => done)!;
      await connection.workflowService.resetWorkflowExecution({
        namespace: 'default',
        workflowExecution: { workflowId: handle.workflowId, runId },
        workflowTaskFinishEventId: decided.eventId!,
        requestId: randomUUID(),
        reason: 'test',
      });
    },

    async audited(runId: string, action = 'attempt.denied') {
      const { rows } = await database.query(
        `SELECT detail->>'code' AS code, actor->>'id' AS actor, tenant FROM waybill.audit_event
         WHERE run_id = $1 AND action = $2 ORDER BY id`,
        [runId, action],
      );
      return rows as { code: string | null; actor: string | null; tenant: string | null }[];
    },

    async close() {
      await connection.close();
      await database.end();
    },
  };
}

/** What the relay would give a run of this id. */
export function startOf(workflowId: string) {
  const input = {
    runId: workflowId,
    pipeline: 'readings',
    version: 1,
    pulled: false,
    useLocalActivities: false,
  };
  return { workflowId, taskQueue: 'waybill', args: [{ ...input, concurrency: 4, deadlineMs: 60_000 }] };
}

/** Our code, where something fails with one. */
export async function codeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause)
      if ('type' in cause && cause.type) return cause.type;
    throw error;
  }
}
