import {
  CancellationScope,
  ChildWorkflowFailure,
  type ChildWorkflowHandle,
  isCancellation,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  startChild,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow';
import type { Firer } from '../activities/fire.ts';
import { grantToChild } from '../domain/grants/childGrant.ts';
import type { FiredRun } from '../domain/ports/scheduler.ts';
import { temporalPriority } from '../domain/runs/runPriority.ts';
import { startOf } from '../domain/runs/runStart.ts';
import { firingQueueOf } from '../domain/taskQueues.ts';
import { toWorkflowFailure } from './failure.ts';
import type { RunInput } from './messages.ts';
import type { runPipeline } from './runPipeline.ts';
import { firerTimeouts, workflowTaskTimeout } from './timeouts.ts';

/**
 * One firing of a schedule. It has no input and carries no grant: its activity asks the API, which checks that the firing is
 * due and accepts the run in the owner’s name. This workflow waits for the run as its child, so that Temporal’s
 * overlap and failure policies see its duration and outcome. Cancelling this workflow cancels the run;
 * terminating it leaves the run alone.
 */
export async function fireSchedule(): Promise<{ outcome: string; code?: string; run?: string }> {
  const taskQueue = firingQueueOf(workflowInfo().taskQueue);
  const { fire } = proxyActivities<Firer>({ ...firerTimeouts.fire, taskQueue });
  try {
    // An accepted run must start, or it would stay open. So a cancellation waits until the run has started, then reaches it.
    const answer = await CancellationScope.nonCancellable(() => fire());
    if (answer.outcome === 'fired') return await runToEnd(answer.run);
    setCurrentDetails(`No run was started: ${answer.outcome}, \`${answer.code}\``);
    return answer;
  } catch (error) {
    throw isCancellation(error) ? error : toWorkflowFailure(rootOf(error));
  }
}

async function runToEnd({ runId, tenant, principal, summary, grant, manifest }: FiredRun) {
  const input: RunInput = { runId, useLocalActivities: false, ...startOf(manifest) };
  grantToChild(runId, grant);
  setCurrentDetails(`Run \`${runId}\``);
  try {
    await toEnd(() =>
      startChild<typeof runPipeline>('runPipeline', {
        workflowId: runId,
        workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [input],
        workflowTaskTimeout,
        searchAttributes: {
          WaybillTenant: [tenant],
          WaybillPrincipal: [principal],
          WaybillPipeline: [manifest.id],
          WaybillState: ['running'],
        },
        staticSummary: summary,
        priority: temporalPriority(tenant, manifest.priority),
      }),
    );
    return { outcome: 'completed', run: runId };
  } catch (error) {
    // This workflow was reset after the run had started; the run continues by itself.
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError')
      return { outcome: 'already-started', run: runId };
    throw error;
  }
}

/** Starts the run in any case, and passes a cancellation on once it has started, also an earlier one. */
async function toEnd(start: () => Promise<ChildWorkflowHandle<typeof runPipeline>>): Promise<void> {
  const { cancelRequested } = CancellationScope.current();
  await CancellationScope.nonCancellable(async () => {
    const ofRun = new CancellationScope();
    const run = await ofRun.run(start);
    cancelRequested.catch(() => ofRun.cancel());
    await run.result();
  });
}

function rootOf(error: unknown): unknown {
  return error instanceof ChildWorkflowFailure ? (error.cause ?? error) : error;
}
