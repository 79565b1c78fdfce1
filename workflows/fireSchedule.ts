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
import { startOf } from '../domain/runs/runStart.ts';
import { firingQueueOf } from '../domain/taskQueues.ts';
import { toWorkflowFailure } from './failure.ts';
import type { RunInput } from './messages.ts';
import type { runPipeline } from './runPipeline.ts';
import { firerTimeouts, workflowTaskTimeout } from './timeouts.ts';

/**
 * One time of a schedule. It is told nothing and carries nothing; its activity asks the API, which finds out whether this is a
 * firing that is due and accepts the run in the owner’s name. The run is a child that is waited for, so that
 * Temporal’s policies about overlap and failure see how long it takes and how it ends. Cancelling this cancels the run;
 * ending it otherwise leaves the run alone.
 */
export async function fireSchedule(): Promise<{ outcome: string; code?: string; run?: string }> {
  const taskQueue = firingQueueOf(workflowInfo().taskQueue);
  const { fire } = proxyActivities<Firer>({ ...firerTimeouts.fire, taskQueue });
  try {
    // What was accepted has to be begun, or nobody would end it. So nothing comes in between, and then it is cancelled.
    const answer = await CancellationScope.nonCancellable(() => fire());
    if (answer.outcome === 'fired') return await runToEnd(answer.run);
    setCurrentDetails(`Nothing was begun: ${answer.outcome}, \`${answer.code}\``);
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
        priority: { fairnessKey: tenant },
      }),
    );
    return { outcome: 'completed', run: runId };
  } catch (error) {
    // Somebody had this begin again after the run had begun, which goes on by itself.
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError')
      return { outcome: 'begun before', run: runId };
    throw error;
  }
}

/** Starts the run whatever happens, and passes a cancellation on to it once it is there, also one that came before. */
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
