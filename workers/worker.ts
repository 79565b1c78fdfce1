import { Client } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { pino } from 'pino';
import { createCourier } from '../activities/deliver.ts';
import { createFirer } from '../activities/fire.ts';
import { createActivities, type Dependencies } from '../activities/index.ts';
import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { openKeyRoots } from '../adapters/keys/keyRoots.ts';
import { createPublishedKeys } from '../adapters/keys/publishedKeys.ts';
import { createScheduler } from '../adapters/keys/scheduler.ts';
import { createStepTokens } from '../adapters/keys/stepTokens.ts';
import { openDirectory } from '../adapters/objects/directory.ts';
import { startLivePolicy } from '../adapters/policy/livePolicy.ts';
import type { DatabaseAddress } from '../adapters/postgres/address.ts';
import { createAuditLog } from '../adapters/postgres/audit.ts';
import { connectPool } from '../adapters/postgres/connect.ts';
import { createDeliveryLog } from '../adapters/postgres/deliveryLog.ts';
import { createGates } from '../adapters/postgres/gates.ts';
import { watchRevocations } from '../adapters/postgres/liveRevocations.ts';
import { createProgress } from '../adapters/postgres/progress.ts';
import { createSink } from '../adapters/postgres/sink.ts';
import { tenantsOf } from '../adapters/postgres/tenants.ts';
import { watchRuns } from '../adapters/postgres/watchRuns.ts';
import { loadProject } from '../adapters/project/loadProject.ts';
import { createReceiver } from '../adapters/records/receiver.ts';
import { createSources } from '../adapters/sources/createSources.ts';
import {
  currentDecision,
  currentGrant,
  currentSignedGrant,
  recheckGrant,
} from '../adapters/temporal/activityInterceptor.ts';
import { workflowsPath } from '../adapters/temporal/bundleWorkflows.ts';
import { courierInterceptor, currentDelivery } from '../adapters/temporal/courierInterceptor.ts';
import { currentFiring, firingInterceptor } from '../adapters/temporal/firingInterceptor.ts';
import { identityPlugin } from '../adapters/temporal/identityPlugin.ts';
import { attemptDetails, stepInterceptor } from '../adapters/temporal/stepInterceptor.ts';
import { createTimetable } from '../adapters/temporal/timetable.ts';
import { createComputePool } from '../adapters/threads/pool.ts';
import { createWebhookSender } from '../adapters/webhooks/sendWebhook.ts';
import { openWebhookKeys } from '../adapters/webhooks/webhookKeys.ts';
import { createAuthority } from '../domain/authority.ts';
import { DecisionClaims, decisionType } from '../domain/decision.ts';
import { DelegationClaims, delegationType } from '../domain/delegation.ts';
import { fetchQueueOf } from '../domain/fetchQueue.ts';
import { firingQueueOf } from '../domain/firing.ts';
import { deliveryQueueOf } from '../domain/webhookDelivery.ts';
import { startHealth } from './health.ts';
import { startReconciling } from './reconcile.ts';
import { startRelay } from './relay.ts';

export interface WorkerSettings {
  /** As the role `waybill_worker`, which sees the tenant that it names. */
  database: DatabaseAddress;
  /** As the role `waybill_relay`. */
  relayDatabase: DatabaseAddress;
  project: string;
  objects: string;
  jwksUrl: URL;
  /** The file that says where trust in the keys there begins. */
  keyRoots: string;
  issuer: string;
  temporalAddress: string;
  namespace: string;
  taskQueue: string;
  workflowBundle?: string;
  healthPort: number;
  fileRoots: readonly string[];
  egressAllow: readonly string[];
  callbackAllow: readonly string[];
  webhookKeys: string;
  identity: string;
  /** The token endpoint of the API. */
  tokenUrl: URL;
  /** Where callers find the API; links in events lead there. Default: links without a host. */
  publicUrl?: string;
  /** Who this worker is to it; without, no source can be read as the caller. */
  workload?: { id: string; keyFile: string };
}

/** After SIGTERM, how long steps under way may go on before they are handed to another worker. */
const drainMs = 10_000;

/**
 * One worker: polls Temporal, relays the outbox, reconciles. Resolves once it has drained after the signal.
 * Everything here is bounded: threads, connections, slots, cached workflows.
 */
export async function startWorker(
  settings: WorkerSettings,
  life: { signal: AbortSignal; onReady(healthPort: number): void },
  adjust: (deps: Dependencies) => Dependencies = (deps) => deps,
): Promise<void> {
  const log = pino({ name: 'worker' });
  const onError = (error: unknown) => log.warn({ err: error }, 'will try again');
  const tenants = tenantsOf(connectPool(settings.database, { connectionsMax: 16, name: 'waybill-worker' }));
  const relayPool = connectPool(settings.relayDatabase, { connectionsMax: 6, name: 'waybill-relay' });
  const runs = watchRuns(settings.database);
  const definitions = await loadProject(settings.project);
  const objects = await openDirectory(settings.objects);
  const compute = createComputePool({ threadsMax: 1 });
  const progress = createProgress(
    tenants,
    (runId, timeoutMs, signal) => runs.wait(runId, timeoutMs, signal),
    settings.publicUrl,
  );
  const keys = createPublishedKeys(settings.jwksUrl, { roots: openKeyRoots(settings.keyRoots) });
  const verifier = createGrantVerifier({ keys, issuer: settings.issuer });
  const decisions = createGrantVerifier({
    keys,
    issuer: settings.issuer,
    schema: DecisionClaims,
    type: decisionType,
  });
  const audit = createAuditLog(tenants);
  const policy = await startLivePolicy({
    database: settings.database,
    process: settings.identity,
    audit,
    onLoaded: (change) => log.info(change, 'policy loaded'),
    onError,
    signal: life.signal,
  }).catch((error) => {
    if (!life.signal.aborted) throw error;
  });
  if (!policy) return;
  const revocations = watchRevocations({ database: settings.database, onError });
  const deliveries = createDeliveryLog(relayPool);
  const dependencies: Dependencies = {
    grant: currentGrant,
    decision: currentDecision,
    recheck: recheckGrant,
    attempt: attemptDetails,
    progress,
    objects,
    definitions,
    compute,
    receiver: createReceiver(objects),
    sources: createSources({ fileRoots: settings.fileRoots, egressAllow: settings.egressAllow }),
    sink: createSink(tenants),
    gates: createGates(tenants, settings.publicUrl),
    decisions,
    policy,
    revocations,
    audit,
    stepTokens: createStepTokens({
      url: settings.tokenUrl,
      issuer: settings.issuer,
      workload: settings.workload,
      grant: currentSignedGrant,
    }),
    nowS: () => Math.floor(Date.now() / 1000),
    draining: life.signal,
    delivery: currentDelivery,
    deliveries,
    grants: verifier,
    delegations: createGrantVerifier({
      keys,
      issuer: settings.issuer,
      schema: DelegationClaims,
      type: delegationType,
    }),
    sender: createWebhookSender({
      keys: openWebhookKeys(settings.webhookKeys),
      callbackAllow: settings.callbackAllow,
    }),
    publicUrl: settings.publicUrl ?? '',
  };
  const identity = identityPlugin({
    verifier,
    authority: createAuthority({ definitions, revocations, policy }),
    audit,
  });

  // Not a single task is taken before it is known what was revoked.
  await Promise.race([revocations.ready, aborted(life.signal)]);
  const connection = await connectPatiently(settings.temporalAddress, life.signal, onError);
  if (!connection) return;
  // One native connection for the worker and its client, which eager start needs.
  const client = new Client({
    connection,
    namespace: settings.namespace,
    identity: settings.identity,
    plugins: [identity],
  });
  const adjusted = adjust(dependencies);
  const activities = createActivities(adjusted);
  const shared = {
    connection,
    interceptors: { activity: [stepInterceptor] },
    namespace: settings.namespace,
    identity: settings.identity,
    shutdownGraceTime: drainMs,
    // Heartbeats each second, so that a 5 s heartbeat timeout does not mistake a busy moment for death.
    maxHeartbeatThrottleInterval: '1s',
    defaultHeartbeatThrottleInterval: '1s',
  } satisfies Partial<WorkerOptions>;
  const fetcher = await Worker.create({
    ...shared,
    plugins: [identity],
    taskQueue: fetchQueueOf(settings.taskQueue),
    activities: { fetch: activities.fetch },
    maxConcurrentActivityTaskExecutions: 32,
  });
  // No grant is asked for here, and so no step is worked on here.
  const courier = await Worker.create({
    ...shared,
    taskQueue: deliveryQueueOf(settings.taskQueue),
    activities: createCourier(adjusted),
    interceptors: { activity: [(context) => courierInterceptor(context, audit)] },
    maxConcurrentActivityTaskExecutions: 64,
  });
  // Nor here, where nothing is done but ask the API.
  const firer = await Worker.create({
    ...shared,
    taskQueue: firingQueueOf(settings.taskQueue),
    activities: createFirer({
      firing: currentFiring,
      scheduler: createScheduler({
        url: settings.tokenUrl,
        issuer: settings.issuer,
        workload: settings.workload,
      }),
    }),
    interceptors: { activity: [firingInterceptor] },
    // Each has the API ask Temporal a few things, so many at once only hinder one another.
    maxConcurrentActivityTaskExecutions: 4,
  });
  const worker = await Worker.create({
    ...shared,
    plugins: [identity],
    taskQueue: settings.taskQueue,
    activities,
    ...(settings.workflowBundle
      ? { workflowBundle: { codePath: settings.workflowBundle } }
      : { workflowsPath }),
    // A killed worker’s runs move on after this long; the default is 10 s.
    stickyQueueScheduleToStartTimeout: '2s',
    maxConcurrentActivityTaskExecutions: 64,
    maxConcurrentLocalActivityExecutions: 64,
    maxConcurrentWorkflowTaskExecutions: 32,
    maxCachedWorkflows: 300,
  });

  const health = await startHealth(settings.healthPort, async () => {
    await Promise.all([tenants.for(null).query('SELECT 1'), relayPool.query('SELECT 1')]);
    return worker.getState() === 'RUNNING';
  });
  const relay = startRelay({
    pool: relayPool,
    database: settings.relayDatabase,
    client,
    taskQueue: settings.taskQueue,
    onError,
  });
  const reconciling = startReconciling({
    pool: relayPool,
    audit,
    client,
    progress,
    objects,
    deliveries,
    definitions,
    timetable: createTimetable({ client, taskQueue: settings.taskQueue }),
    onError,
  });
  const stopped = aborted(life.signal);
  const finished = Promise.all([
    // Temporal’s runtime hears the same signals and stops its workers by itself, so they must not wait for anything of ours.
    worker.runUntil(stopped),
    stopped.then(() => Promise.all([relay.stop(), reconciling.stop()])),
    fetcher.runUntil(stopped),
    courier.runUntil(stopped),
    firer.runUntil(stopped),
  ]);
  life.onReady(health.port);
  try {
    await finished;
  } finally {
    await Promise.allSettled([
      health.close(),
      runs.close(),
      compute.close(),
      connection.close(),
      policy.close(),
      revocations.close(),
    ]);
    await Promise.all([tenants.end(), relayPool.end()]);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** The SDK does not retry a worker’s first connect, so this does. `undefined` once the signal aborts. */
async function connectPatiently(
  address: string,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<NativeConnection | undefined> {
  for (let delayMs = 250; !signal.aborted; delayMs = Math.min(delayMs * 2, 5_000)) {
    try {
      return await NativeConnection.connect({ address });
    } catch (error) {
      onError(error);
      await new Promise<void>((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random() / 2)));
    }
  }
  return undefined;
}
