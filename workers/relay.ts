import {
  type Client,
  WorkflowExecutionAlreadyStartedError,
  WorkflowIdConflictPolicy,
  WorkflowIdReusePolicy,
  WorkflowNotFoundError,
  WorkflowUpdateStage,
} from '@temporalio/client';
import { asyncSignal } from '../adapters/postgres/asyncSignal.ts';
import { carryingGrant } from '../adapters/temporal/clientInterceptors.ts';
import { searchAttributesOf } from '../adapters/temporal/searchAttributes.ts';
import type { DueDeliveries, DueDelivery } from '../domain/ports/deliveries.ts';
import type { Outbox, OutboxEntry } from '../domain/ports/outbox.ts';
import type { DueSchedule, DueSchedules } from '../domain/ports/schedules.ts';
import { priorityOf, temporalPriority } from '../domain/runs/runPriority.ts';
import { startOf } from '../domain/runs/runStart.ts';
import { decide, type RunInput, recheckAuthorization, replaceGrant } from '../workflows/messages.ts';
import { workflowTaskTimeout } from '../workflows/timeouts.ts';
import { startDelivery } from './startDelivery.ts';
import { syncSchedule } from './syncSchedule.ts';

const entriesMax = 16;
/** Each schedule takes a few calls to Temporal. */
const schedulesMax = 8;
const pollMs = 2_000;
/** A worker must be there to take an update in; the entry is not held for longer than this. */
const acceptWithinMs = 5_000;
/**
 * Runs with at most this much data, all of it there, use local activities. One batch, so that their steps come one after the other:
 * local activities side by side do not replay in the order in which they ended.
 */
const smallMax = { batches: 1, bytes: 256 * 1024 };

export interface RelayOptions {
  outbox: Outbox;
  dueDeliveries: DueDeliveries;
  dueSchedules: DueSchedules;
  client: Client;
  taskQueue: string;
  onError: (error: unknown) => void;
}

/**
 * Carries what was recorded over to Temporal. Any number of workers relay at once: each takes entries that no
 * other holds. An entry may be delivered twice (a kill between Temporal’s answer and our commit); the run id is the
 * workflow id and duplicates are rejected, so that starts nothing twice.
 */
export function startRelay(options: RelayOptions): { stop(): Promise<void> } {
  let stopped = false;
  const news = asyncSignal();
  const listening = options.outbox.watch(news.ring);

  const running = (async () => {
    while (!stopped) {
      try {
        const due = await options.outbox.findDue();
        const { outbox, dueDeliveries, dueSchedules } = options;
        const entries = due.entries && (await outbox.relay(entriesMax, (entry) => deliver(options, entry)));
        const events =
          due.deliveries && (await dueDeliveries.relay(entriesMax, (event) => tell(options, event)));
        const schedules =
          due.schedules && (await dueSchedules.relay(schedulesMax, (one) => keep(options, one)));
        if (entries === entriesMax || events === entriesMax || schedules === schedulesMax) continue;
      } catch (error) {
        options.onError(error);
      }
      await news.rang(pollMs);
    }
  })();

  return {
    async stop() {
      stopped = true;
      news.ring();
      await Promise.all([running, listening.close()]);
    },
  };
}

async function keep(options: RelayOptions, schedule: DueSchedule): Promise<void> {
  try {
    await syncSchedule(options, schedule);
  } catch (error) {
    options.onError(error);
    throw error;
  }
}

/** A workflow that is there already does it. */
async function tell(options: RelayOptions, event: DueDelivery): Promise<void> {
  try {
    await startDelivery(options, event);
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return;
    options.onError(error);
    throw error;
  }
}

async function deliver(options: RelayOptions, entry: OutboxEntry): Promise<void> {
  if (entry.ended) return;
  try {
    await deliveries[entry.kind](options, entry);
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return;
    if (!(error instanceof WorkflowNotFoundError)) options.onError(error);
    throw error;
  }
}

const deliveries: Record<OutboxEntry['kind'], (options: RelayOptions, entry: OutboxEntry) => Promise<void>> =
  { start, cancel, recheckAuthorization: sendRecheck, replaceGrant: sendGrant, decide: sendDecision };

async function start({ client, taskQueue }: RelayOptions, entry: OutboxEntry): Promise<void> {
  const { manifest, requestedBy, tenant } = entry;
  const input: RunInput = {
    runId: entry.runId,
    useLocalActivities: isSmall(entry),
    ...startOf({ ...manifest, source: entry.source }),
  };
  await carryingGrant(entry.grant, () =>
    client.workflow.start('runPipeline', {
      workflowId: entry.runId,
      workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
      taskQueue,
      args: [input],
      workflowTaskTimeout,
      requestEagerStart: true,
      typedSearchAttributes: searchAttributesOf({ tenant, principal: requestedBy.id, pipeline: manifest.id }),
      staticSummary: `${manifest.id} for ${requestedBy.subject} (${requestedBy.kind}) of ${tenant}`,
      priority: temporalPriority(tenant, priorityOf(manifest, entry.backfill)),
    }),
  );
}

function isSmall({ input }: OutboxEntry): boolean {
  return input !== null && input.batches <= smallMax.batches && input.bytes <= smallMax.bytes;
}

/** Cancelling a workflow that Temporal does not know yet fails and is tried again; the start is on its way. */
async function cancel({ client }: RelayOptions, entry: OutboxEntry): Promise<void> {
  await client.workflow.getHandle(entry.runId).cancel();
}

/** Reconciliation starts a run again that Temporal does not know any more; it checks its right then. */
async function sendRecheck({ client }: RelayOptions, entry: OutboxEntry): Promise<void> {
  await unlessGone(client.workflow.getHandle(entry.runId).signal(recheckAuthorization));
}

/** Done once the run has accepted the update; the run verifies the grant. A repetition is recognised by its id. */
async function sendGrant({ client }: RelayOptions, entry: OutboxEntry): Promise<void> {
  const handle = client.workflow.getHandle(entry.runId);
  await unlessGone(
    client.withDeadline(Date.now() + acceptWithinMs, () =>
      carryingGrant(entry.grant, () =>
        handle.startUpdate(replaceGrant, {
          updateId: `replace-grant-${entry.id}`,
          waitForStage: WorkflowUpdateStage.ACCEPTED,
        }),
      ),
    ),
  );
}

/** Done once the run has accepted the update; the run verifies and records the decision. A repetition is recognised by its id. */
async function sendDecision({ client }: RelayOptions, { runId, decision }: OutboxEntry): Promise<void> {
  if (!decision || decision.settled) return;
  const { id, token, comment, form } = decision;
  await unlessGone(
    client.withDeadline(Date.now() + acceptWithinMs, () =>
      client.workflow.getHandle(runId).startUpdate(decide, {
        args: [{ token, comment, form }],
        updateId: id,
        waitForStage: WorkflowUpdateStage.ACCEPTED,
      }),
    ),
  );
}

async function unlessGone(told: Promise<unknown>): Promise<void> {
  try {
    await told;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
