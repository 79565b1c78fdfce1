import { setTimeout as pause } from 'node:timers/promises';
import { Client } from '@temporalio/client';
import { type Logger, pino } from 'pino';
import type { Dependencies } from '../activities/dependencies.ts';
import { connectPool } from '../adapters/postgres/connect.ts';
import { createDueDeliveries } from '../adapters/postgres/deliveries/dueDeliveries.ts';
import { createOutbox } from '../adapters/postgres/outbox.ts';
import { backlogOf, createOpenRuns } from '../adapters/postgres/runs/openRuns.ts';
import { createRunSweeps } from '../adapters/postgres/runs/runSweeps.ts';
import { createDueSchedules } from '../adapters/postgres/schedules/dueSchedules.ts';
import { tenantsOf } from '../adapters/postgres/tenants.ts';
import { measureBacklog } from '../adapters/telemetry/backlogMetrics.ts';
import { createMetrics } from '../adapters/telemetry/metrics.ts';
import { fairnessMissing, isQueueFair } from '../adapters/temporal/fairness.ts';
import { createTemporalSchedules } from '../adapters/temporal/temporalSchedules.ts';
import { connectPatiently } from './connectPatiently.ts';
import { openDependencies, type WorkerPools } from './dependencies.ts';
import { startHealth } from './health.ts';
import { createPollers } from './pollers.ts';
import { startReconciling } from './reconcile.ts';
import { startRelay } from './relay.ts';
import type { WorkerSettings } from './settings.ts';

/**
 * One worker: polls Temporal, relays the outbox, reconciles. Resolves once it has drained after the signal.
 * Everything here is bounded: threads, connections, slots, cached workflows.
 */
export async function startWorker(
  settings: WorkerSettings,
  life: {
    signal: AbortSignal;
    /** What Temporal’s SDK counts in this process, in the text form of Prometheus. Default: nothing. */
    temporalMetrics?(): Promise<string>;
    onReady(healthPort: number): void;
    onWarning?(text: string): void;
  },
  adjust: (deps: Dependencies) => Dependencies = (deps) => deps,
): Promise<void> {
  const log = pino({ name: 'worker' });
  const onError = (error: unknown) => log.warn({ err: error }, 'will try again');
  const pools: WorkerPools = {
    tenants: tenantsOf(connectPool(settings.database, { connectionsMax: 16, name: 'waybill-worker' })),
    relay: connectPool(settings.relayDatabase, { connectionsMax: 6, name: 'waybill-relay' }),
  };
  const metrics = createMetrics();
  const opened = await openDependencies(settings, pools, { log, metrics, signal: life.signal, onError });
  if (!opened) return;
  // The worker takes no task before it knows what is revoked.
  await Promise.race([opened.revocationsReady, aborted(life.signal)]);
  const connection = await connectPatiently(settings.temporalAddress, life.signal, onError);
  if (!connection) return;
  // One native connection for the worker and its client, which eager start needs.
  const { namespace, identity } = settings;
  const client = new Client({ connection, namespace, identity, plugins: [opened.identity] });
  const dependencies = adjust(opened.dependencies);
  const pollers = await createPollers({
    settings,
    connection,
    identity: opened.identity,
    guarded: opened.guarded,
    dependencies,
    sweeps: createRunSweeps(pools.relay),
    metrics,
  });
  measureBacklog(metrics, backlogOf(pools.relay));
  const health = await startHealth(settings.health, {
    async isReady() {
      await Promise.all([pools.tenants.for(null).query('SELECT 1'), pools.relay.query('SELECT 1')]);
      return pollers.runs.getState() === 'RUNNING';
    },
    metrics: async () => (await Promise.all([metrics.metrics(), life.temporalMetrics?.()])).join('\n'),
  });
  const background = startBackground(settings, pools, client, opened.dependencies, onError);
  const stopped = aborted(life.signal);
  const finished = Promise.all([
    // Temporal’s runtime receives the same signals and stops its workers by itself, so they must not wait for our parts.
    ...Object.values(pollers).map((poller) => poller.runUntil(stopped)),
    stopped.then(() => background.stop()),
  ]);
  life.onReady(health.port);
  void warnUnlessFair(settings, life, log);
  try {
    await finished;
  } finally {
    await Promise.allSettled([health.close(), connection.close(), opened.close()]);
    await Promise.all([pools.tenants.end(), pools.relay.end()]);
  }
}

/** Asks once a minute until the server can tell. */
async function warnUnlessFair(
  { temporalAddress: address, namespace, taskQueue }: WorkerSettings,
  { signal, onWarning }: { signal: AbortSignal; onWarning?(text: string): void },
  log: Logger,
): Promise<void> {
  const ask = () => isQueueFair({ address, namespace, taskQueue });
  let fair: boolean | undefined;
  try {
    for (fair = await ask(); fair === undefined; fair = await ask())
      await pause(fairnessRetryMs, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) log.info({ err: error }, 'the server does not tell whether task queues are fair');
    return;
  }
  if (fair) return;
  log.warn(fairnessMissing);
  onWarning?.(fairnessMissing);
}

const fairnessRetryMs = 60_000;

/** Relay and reconciliation, which share the tables of what is due. */
function startBackground(
  { relayDatabase, taskQueue }: WorkerSettings,
  { relay: pool }: WorkerPools,
  client: Client,
  { audit, runs, stages, objects, deliveries, definitions }: Dependencies,
  onError: (error: unknown) => void,
): { stop(): Promise<unknown> } {
  const due = {
    outbox: createOutbox(pool, relayDatabase),
    dueDeliveries: createDueDeliveries(pool),
    dueSchedules: createDueSchedules(pool),
  };
  const relay = startRelay({ ...due, client, taskQueue, onError });
  const reconciling = startReconciling({
    ...due,
    openRuns: createOpenRuns(pool),
    audit,
    client,
    runs,
    stages,
    objects,
    deliveries,
    definitions,
    temporalSchedules: createTemporalSchedules({ client, taskQueue }),
    taskQueue,
    onError,
  });
  return { stop: () => Promise.all([relay.stop(), reconciling.stop()]) };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
