import { setTimeout as pause } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { AuditEvent } from '../domain/audit.ts';
import { errors } from '../domain/errors.ts';
import type { AuditLog } from '../domain/ports/audit.ts';
import type { Definitions } from '../domain/ports/definitions.ts';
import type { DeliveryLog, DueDeliveries } from '../domain/ports/deliveries.ts';
import type { ObjectStore } from '../domain/ports/objects.ts';
import type { Outbox } from '../domain/ports/outbox.ts';
import type { OpenRun, OpenRuns, RunStates } from '../domain/ports/runs.ts';
import type { DueSchedules } from '../domain/ports/schedules.ts';
import type { Stages } from '../domain/ports/stages.ts';
import type { TemporalSchedules } from '../domain/ports/temporalSchedules.ts';
import { recheckAuthorization } from '../workflows/messages.ts';
import { reconcileDeliveries } from './reconcileDeliveries.ts';
import { firstPlace, reconcileSchedules } from './reconcileSchedules.ts';
import { syncSweeps } from './syncSweeps.ts';
import { statusOf } from './workflowStatus.ts';

const everyMs = 10_000;
const runsMax = 50;
const sweepEveryMs = 600_000;

export interface ReconcileOptions {
  openRuns: OpenRuns;
  outbox: Outbox;
  dueDeliveries: DueDeliveries;
  dueSchedules: DueSchedules;
  audit: AuditLog;
  client: Client;
  runs: RunStates;
  stages: Stages;
  objects: ObjectStore;
  deliveries: DeliveryLog;
  definitions: Definitions;
  temporalSchedules: TemporalSchedules;
  taskQueue: string;
  onError: (error: unknown) => void;
}

/**
 * Keeps our record of runs true to Temporal’s: a run that was ended there from outside is recorded as such, its
 * actor unknown; one that Temporal does not know (it lost its last moments in a power cut, say) is started again,
 * which is safe since nothing is stored twice; one that began again in another execution is audited; an upload
 * with a silent receiver is broken. Webhook deliveries and schedules are reconciled too. Once at the start, runs
 * that wait for a definition which this worker has are told to check again.
 */
export function startReconciling(options: ReconcileOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let after = '';
  let afterDelivery = '';
  let afterSchedule = firstPlace;
  let rechecked = false;
  let sweptAtMs = Number.NEGATIVE_INFINITY;

  async function pass(): Promise<void> {
    if (!rechecked) await recheckWaiting(options);
    rechecked = true;
    await options.openRuns.breakSilentUploads();
    await options.openRuns.abandonUploads();
    const runs = await options.openRuns.list(after, runsMax);
    after = runs.length < runsMax ? '' : runs.at(-1)!.runId;
    for (const run of runs) {
      if (stopping.signal.aborted) return;
      await reconcile(options, run);
    }
    afterDelivery = await reconcileDeliveries(options, afterDelivery);
    afterSchedule = await reconcileSchedules(options, afterSchedule);
    if (performance.now() - sweptAtMs < sweepEveryMs) return;
    sweptAtMs = performance.now();
    await options.temporalSchedules.deleteAbandoned();
    await syncSweeps(options);
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pass().catch(options.onError);
      await pause(everyMs * (0.75 + Math.random() / 2), undefined, { signal: stopping.signal }).catch(
        () => {},
      );
    }
  })();

  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** A deployment brings its workers, and each of them looks once. */
async function recheckWaiting({ openRuns, client, definitions }: ReconcileOptions): Promise<void> {
  for (const { runId } of await openRuns.listWaitingFor(definitions.listDigests())) {
    await client.workflow
      .getHandle(runId)
      .signal(recheckAuthorization)
      .catch((error) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      });
  }
}

async function reconcile(
  { outbox, audit, client, runs, stages, objects }: ReconcileOptions,
  run: OpenRun,
): Promise<void> {
  const { status, firstExecution } = await statusOf(client, run.runId);
  if (status === 'unknown') {
    // Its firing is about to start it; one that has ended before it could does not any more.
    if (run.firedBy && (await statusOf(client, run.firedBy)).status === 'RUNNING') return;
    return outbox.enqueueStart(run);
  }
  if (firstExecution && run.firstExecution && firstExecution !== run.firstExecution)
    await audit.append(restarted(run, firstExecution), 'once');
  if (status === 'RUNNING') return;
  const reason = { code: 'RunTerminated', message: errors.RunTerminated.message };
  await runs.end(run, ({ counts }) => ({
    outcome: { state: 'failed', counts, reason },
    audit: {
      action: 'run.terminated',
      outcome: 'failure',
      tenant: run.tenant,
      actor: null,
      runId: run.runId,
      txn: run.txn,
      detail: { temporalStatus: status },
    },
  }));
  await objects.remove(run, await stages.listObjects(run));
}

/** It continues under its own grant, or not at all. The actor of the restart, a loss or a client of Temporal, is unknown. */
function restarted({ tenant, runId, txn, firstExecution }: OpenRun, execution: string): AuditEvent {
  return {
    action: 'run.restarted',
    outcome: 'success',
    tenant,
    actor: null,
    runId,
    txn,
    detail: { execution, original: firstExecution },
  };
}
