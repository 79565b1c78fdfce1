import { Client } from '@temporalio/client';
import { pino } from 'pino';
import type { Dependencies } from '../activities/dependencies.ts';
import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { openKeyRoots } from '../adapters/keys/keyRoots.ts';
import { createPublishedKeys } from '../adapters/keys/publishedKeys.ts';
import { createStepTokens } from '../adapters/keys/stepTokens.ts';
import { openFileObjectStore } from '../adapters/objects/fileObjectStore.ts';
import { startLivePolicy } from '../adapters/policy/livePolicy.ts';
import type { DatabaseAddress } from '../adapters/postgres/address.ts';
import { createRunApprovals } from '../adapters/postgres/approvals/runApprovals.ts';
import { createAuditLog } from '../adapters/postgres/audit.ts';
import { createBatches } from '../adapters/postgres/batches/batches.ts';
import { createStages } from '../adapters/postgres/batches/stages.ts';
import { connectPool } from '../adapters/postgres/connect.ts';
import { createDeliveryLog } from '../adapters/postgres/deliveries/deliveryLog.ts';
import { createDueDeliveries } from '../adapters/postgres/deliveries/dueDeliveries.ts';
import { createLedger } from '../adapters/postgres/ledger/ledger.ts';
import { createWatermarks } from '../adapters/postgres/ledger/watermarks.ts';
import { createOutbox } from '../adapters/postgres/outbox.ts';
import { watchRevocations } from '../adapters/postgres/rights/liveRevocations.ts';
import { createFailedAttempts } from '../adapters/postgres/runs/failedAttempts.ts';
import { createOpenRuns } from '../adapters/postgres/runs/openRuns.ts';
import { createRunStates } from '../adapters/postgres/runs/runStates.ts';
import { watchRuns } from '../adapters/postgres/runs/watchRuns.ts';
import { createDueSchedules } from '../adapters/postgres/schedules/dueSchedules.ts';
import { tenantsOf } from '../adapters/postgres/tenants.ts';
import { loadProject } from '../adapters/project/loadProject.ts';
import {
  currentDecision,
  currentGrant,
  currentSignedGrant,
  recheckGrant,
} from '../adapters/temporal/activityInterceptor.ts';
import { identityPlugin } from '../adapters/temporal/identityPlugin.ts';
import { reportAttempts } from '../adapters/temporal/reportAttempts.ts';
import { createTemporalSchedules } from '../adapters/temporal/temporalSchedules.ts';
import { currentDelivery } from '../adapters/temporal/webhookDeliveryInterceptor.ts';
import { createWebhookSender } from '../adapters/webhooks/sendWebhook.ts';
import { openWebhookKeys } from '../adapters/webhooks/webhookKeys.ts';
import { createSources } from '../connectors/sources/createSources.ts';
import { DecisionClaims, decisionType } from '../domain/approvals/decision.ts';
import { createAuthorizer } from '../domain/grants/authorizer.ts';
import { DelegationClaims, delegationType } from '../domain/schedules/delegation.ts';
import { createReceiver } from '../engine/records/receiver.ts';
import { createComputePool } from '../engine/threads/pool.ts';
import { connectPatiently } from './connectPatiently.ts';
import { startHealth } from './health.ts';
import { createPollers } from './pollers.ts';
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
  const changes = watchRuns(settings.database);
  const definitions = await loadProject(settings.project);
  const objects = await openFileObjectStore(settings.objects);
  const compute = createComputePool({ threadsMax: 1 });
  const runs = createRunStates(tenants, settings.publicUrl);
  const stages = createStages(tenants);
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
  const outbox = createOutbox(relayPool, settings.relayDatabase);
  const dueDeliveries = createDueDeliveries(relayPool);
  const dueSchedules = createDueSchedules(relayPool);
  const dependencies: Dependencies = {
    grant: currentGrant,
    decision: currentDecision,
    recheck: recheckGrant,
    runs,
    batches: createBatches(tenants, (runId, timeoutMs, signal) => changes.wait(runId, timeoutMs, signal)),
    stages,
    watermarks: createWatermarks(tenants),
    objects,
    definitions,
    compute,
    receiver: createReceiver(objects),
    sources: createSources({ fileRoots: settings.fileRoots, egressAllow: settings.egressAllow }),
    ledger: createLedger(tenants),
    approvals: createRunApprovals(tenants, settings.publicUrl),
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
    authorizer: createAuthorizer({ definitions, revocations, policy }),
    audit,
    reports: reportAttempts(createFailedAttempts(tenants)),
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
  const pollers = await createPollers({
    settings,
    connection,
    identity,
    dependencies: adjust(dependencies),
  });

  const health = await startHealth(settings.healthPort, async () => {
    await Promise.all([tenants.for(null).query('SELECT 1'), relayPool.query('SELECT 1')]);
    return pollers.runs.getState() === 'RUNNING';
  });
  const relay = startRelay({
    outbox,
    dueDeliveries,
    dueSchedules,
    client,
    taskQueue: settings.taskQueue,
    onError,
  });
  const reconciling = startReconciling({
    openRuns: createOpenRuns(relayPool),
    outbox,
    dueDeliveries,
    dueSchedules,
    audit,
    client,
    runs,
    stages,
    objects,
    deliveries,
    definitions,
    temporalSchedules: createTemporalSchedules({ client, taskQueue: settings.taskQueue }),
    onError,
  });
  const stopped = aborted(life.signal);
  const finished = Promise.all([
    // Temporal’s runtime hears the same signals and stops its workers by itself, so they must not wait for anything of ours.
    ...Object.values(pollers).map((poller) => poller.runUntil(stopped)),
    stopped.then(() => Promise.all([relay.stop(), reconciling.stop()])),
  ]);
  life.onReady(health.port);
  try {
    await finished;
  } finally {
    await Promise.allSettled([
      health.close(),
      changes.close(),
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
