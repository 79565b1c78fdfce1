import { type Client, isGrpcServiceError } from '@temporalio/client';
import type { Pool } from 'pg';
import {
  type Became,
  listUnexamined,
  recordExamined,
  type Unexamined,
} from '../adapters/postgres/executions.ts';
import type { Tenants } from '../adapters/postgres/tenants.ts';

const executionsMax = 50;
/** gRPC’s NOT_FOUND. */
const notFound = 5;

/**
 * Looks into executions in Temporal that were not there when their run began. That a run continued as new is its own
 * doing. One that was reset goes on under the run’s own grant or not at all, and stores nothing twice; but who reset it
 * Temporal does not say, so it is audited with an actor that nobody knows.
 */
export async function examineExecutions(deps: {
  pool: Pool;
  tenants: Tenants;
  client: Client;
  onError: (error: unknown) => void;
}): Promise<void> {
  for (const execution of await listUnexamined(deps.pool, executionsMax))
    await examine(deps, execution).catch(deps.onError);
}

async function examine(
  { tenants, client }: { tenants: Tenants; client: Client },
  execution: Unexamined,
): Promise<void> {
  const { tenant, runId, txn, temporalRunId } = execution;
  const became = await howItBecame(client, execution);
  const audit = {
    action: `run.${became}`,
    outcome: 'success' as const,
    tenant,
    actor: null,
    runId,
    txn,
    detail: { temporalRunId },
  };
  await recordExamined(tenants, execution, became, became === 'continued' ? undefined : audit);
}

/** By the first event of its history, which Temporal itself writes: a copied one names the execution that it is a copy of. */
async function howItBecame(client: Client, { runId, temporalRunId }: Unexamined): Promise<Became> {
  try {
    const { history } = await client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId: runId, runId: temporalRunId },
      maximumPageSize: 1,
    });
    const begun = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
    if (begun?.originalExecutionRunId !== temporalRunId) return 'reset';
    return begun.continuedExecutionRunId ? 'continued' : 'restarted';
  } catch (error) {
    // It has been deleted, or lost, and somebody put another in its place.
    if (isGrpcServiceError(error) && error.code === notFound) return 'restarted';
    throw error;
  }
}
