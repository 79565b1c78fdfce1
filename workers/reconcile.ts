import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { Pool } from 'pg';
import {
  breakSilentUploads,
  enqueueStart,
  listOpenRuns,
  type OpenRun,
} from '../adapters/postgres/openRuns.ts';
import { errors } from '../domain/errors.ts';
import type { DeliveryLog } from '../domain/ports/deliveries.ts';
import type { Progress } from '../domain/ports/progress.ts';
import { reconcileDeliveries } from './reconcileDeliveries.ts';
import { statusOf } from './workflowStatus.ts';

const everyMs = 10_000;
const runsMax = 50;

export interface ReconcileOptions {
  /** As the role `waybill_relay`, which sees the runs of all tenants. */
  pool: Pool;
  client: Client;
  progress: Progress;
  deliveries: DeliveryLog;
  onError: (error: unknown) => void;
}

/**
 * Keeps our record of runs true to Temporal’s: a run that was ended there from outside is recorded as such, its
 * actor unknown; one that Temporal does not know (it lost its last moments in a power cut, say) is started again,
 * which is safe since nothing is stored twice; an upload whose receiver fell silent is broken. Events on
 * their way to receivers are looked after likewise.
 */
export function startReconciling(options: ReconcileOptions): { stop(): Promise<void> } {
  const stopping = new AbortController();
  let after = '';
  let afterDelivery = '';

  async function pass(): Promise<void> {
    await breakSilentUploads(options.pool);
    const runs = await listOpenRuns(options.pool, after, runsMax);
    after = runs.length < runsMax ? '' : runs.at(-1)!.runId;
    for (const run of runs) {
      if (stopping.signal.aborted) return;
      await reconcile(options, run);
    }
    afterDelivery = await reconcileDeliveries(options, afterDelivery);
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

async function reconcile({ pool, client, progress }: ReconcileOptions, run: OpenRun): Promise<void> {
  const status = await statusOf(client, run.runId);
  if (status === 'RUNNING') return;
  if (status === 'unknown') return enqueueStart(pool, run);
  const { counts } = await progress.totals(run);
  const reason = { code: 'RunTerminated', message: errors.RunTerminated.message };
  await progress.end(
    run,
    { state: 'failed', counts, reason },
    {
      action: 'run.terminated',
      outcome: 'failure',
      tenant: run.tenant,
      actor: null,
      runId: run.runId,
      txn: run.txn,
      detail: { temporalStatus: status },
    },
  );
}
