import { availableParallelism } from 'node:os';
import type { Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import type { Pool } from 'pg';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Dependencies } from '../activities/dependencies.ts';
import { createBreakers } from '../adapters/breakers/createBreakers.ts';
import {
  guardDestinations,
  guardObjects,
  guardOutbound,
  guardSources,
} from '../adapters/breakers/guardSystems.ts';
import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { openKeyRoots } from '../adapters/keys/keyRoots.ts';
import { createPublishedKeys } from '../adapters/keys/publishedKeys.ts';
import { createStepTokens } from '../adapters/keys/stepTokens.ts';
import { openObjectStore } from '../adapters/objects/openObjectStore.ts';
import { startLivePolicy } from '../adapters/policy/livePolicy.ts';
import { createRunApprovals } from '../adapters/postgres/approvals/runApprovals.ts';
import { createAuditLog } from '../adapters/postgres/audit.ts';
import { createBatches } from '../adapters/postgres/batches/batches.ts';
import { createStages } from '../adapters/postgres/batches/stages.ts';
import { createDeliveryLog } from '../adapters/postgres/deliveries/deliveryLog.ts';
import { createLedger } from '../adapters/postgres/ledger/ledger.ts';
import { createWatermarks } from '../adapters/postgres/ledger/watermarks.ts';
import { createLimitedRates } from '../adapters/postgres/limitedRates.ts';
import { createLookupCache } from '../adapters/postgres/lookupCache.ts';
import { createQuality } from '../adapters/postgres/quality.ts';
import { createCallRates } from '../adapters/postgres/rates.ts';
import { watchRevocations } from '../adapters/postgres/rights/liveRevocations.ts';
import { createFailedAttempts } from '../adapters/postgres/runs/failedAttempts.ts';
import { createRunStates } from '../adapters/postgres/runs/runStates.ts';
import { watchRuns } from '../adapters/postgres/runs/watchRuns.ts';
import { openShards } from '../adapters/postgres/shards/openShards.ts';
import type { Tenants } from '../adapters/postgres/tenants.ts';
import { measureBreakers } from '../adapters/telemetry/breakerMetrics.ts';
import { countRuns } from '../adapters/telemetry/stepMetrics.ts';
import {
  currentDecision,
  currentGrant,
  currentSignedGrant,
  grantActivityInterceptor,
  recheckGrant,
} from '../adapters/temporal/activityInterceptor.ts';
import { identityPlugin } from '../adapters/temporal/identityPlugin.ts';
import { reportAttempts } from '../adapters/temporal/reportAttempts.ts';
import { currentDelivery } from '../adapters/temporal/webhookDeliveryInterceptor.ts';
import { createWebhookSender } from '../adapters/webhooks/sendWebhook.ts';
import { openWebhookKeys } from '../adapters/webhooks/webhookKeys.ts';
import { createOutbound } from '../connectors/egressFetch.ts';
import { connectors } from '../connectors/index.ts';
import { createSources } from '../connectors/sources/createSources.ts';
import { DecisionClaims, decisionType } from '../domain/approvals/decision.ts';
import { destinationsOf } from '../domain/connectors/connectors.ts';
import { createAuthorizer } from '../domain/grants/authorizer.ts';
import { DelegationClaims, delegationType } from '../domain/schedules/delegation.ts';
import { loadProject } from '../engine/project/loadProject.ts';
import { createReceiver } from '../engine/records/receiver.ts';
import { createComputePool } from '../engine/threads/pool.ts';
import type { WorkerSettings } from './settings.ts';

/** Eager dispatch gives all batches of a run to one worker, which should then use more than one processor. */
const threadsMax = Math.max(2, Math.floor(availableParallelism() / 2));

/** The connections of one worker, as its two roles. */
export interface WorkerPools {
  /** As the role `waybill_worker`. */
  tenants: Tenants;
  /** As the role `waybill_relay`. */
  relay: Pool;
}

/**
 * Opens the ports of the steps, and the plugin that verifies each attempt. Resolves with `undefined` if the signal aborts before the policy is
 * loaded.
 */
export async function openDependencies(
  settings: WorkerSettings,
  { tenants, relay }: WorkerPools,
  {
    log,
    metrics,
    signal,
    onError,
  }: { log: Logger; metrics: Registry; signal: AbortSignal; onError: (error: unknown) => void },
): Promise<OpenDependencies | undefined> {
  const changes = watchRuns(settings.database);
  const definitions = await loadProject(settings.project, settings.keptDefinitions);
  const breakers = createBreakers();
  measureBreakers(metrics, breakers);
  const tenant = () => currentGrant().claims.tctx.tenant;
  const objects = guardObjects(await openObjectStore(settings.objects), breakers);
  const compute = createComputePool({ objects, cacheFolder: settings.stageCache, threadsMax });
  const shards = openShards(settings.credentials);
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
    signal: signal,
  }).catch((error) => {
    if (!signal.aborted) throw error;
  });
  if (!policy) return;
  const revocations = watchRevocations({ database: settings.database, onError });
  const authorizer = createAuthorizer({
    ...{ definitions, revocations, policy },
    refresh: () => Promise.all([revocations.refresh(), policy.refresh()]),
  });
  const deliveries = createDeliveryLog(relay);
  const dependencies: Dependencies = {
    grant: currentGrant,
    decision: currentDecision,
    isPermitted(step) {
      try {
        return authorizer.decide(currentGrant().claims, step).allowed;
      } catch {
        return false; // The policy is unavailable; the step itself will say so.
      }
    },
    recheck: recheckGrant,
    runs,
    batches: createBatches(tenants, (runId, timeoutMs, signal) => changes.wait(runId, timeoutMs, signal)),
    stages,
    quality: createQuality(tenants),
    watermarks: createWatermarks(tenants),
    objects,
    definitions,
    compute,
    limitedRates: createLimitedRates(tenants),
    receiver: createReceiver(objects),
    sources: guardSources(createSources(settings), breakers, tenant),
    destinations: guardDestinations(destinationsOf(connectors, settings), breakers),
    ledger: createLedger(tenants, { lanes: availableParallelism(), shards }),
    lookupCache: createLookupCache(tenants),
    callRates: createCallRates(tenants),
    outbound: guardOutbound(createOutbound(settings), breakers, tenant),
    async credential(name) {
      const provider = settings.credentials?.(name);
      if (!provider) throw new Error('no folder WAYBILL_CREDENTIALS');
      return provider.current();
    },
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
    draining: signal,
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
  const guard = {
    verifier,
    authorizer,
    audit,
    reports: countRuns(metrics, reportAttempts(createFailedAttempts(tenants))),
  };
  return {
    dependencies,
    identity: identityPlugin(guard),
    guarded: (context) => grantActivityInterceptor(context, guard),
    revocationsReady: revocations.ready,
    close: () =>
      Promise.allSettled([
        changes.close(),
        compute.close(),
        policy.close(),
        revocations.close(),
        shards.end(),
      ]),
  };
}

export interface OpenDependencies {
  dependencies: Dependencies;
  identity: ReturnType<typeof identityPlugin>;
  /** What `identity` puts around each attempt. */
  guarded: (context: Context) => ActivityInterceptors;
  /** Resolves once the worker knows what is revoked. */
  revocationsReady: Promise<unknown>;
  close(): Promise<unknown>;
}
