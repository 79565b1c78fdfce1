import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { delimiter } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { z } from 'zod';
import { credentialFrom } from '../adapters/credentials/credentialFrom.ts';
import { createGrantKeys } from '../adapters/keys/grantKeys.ts';
import { createGrantVerifier } from '../adapters/keys/grantVerifier.ts';
import { openKeyFolder } from '../adapters/keys/keyFolder.ts';
import { openKeyRoots } from '../adapters/keys/keyRoots.ts';
import { openWorkloads } from '../adapters/keys/workloads.ts';
import { objectSettings, openObjectStore } from '../adapters/objects/openObjectStore.ts';
import { schedulerOf } from '../adapters/oidc/callerOf.ts';
import { onlyIssuer, readIssuers } from '../adapters/oidc/trustedIssuers.ts';
import { createAuthenticator, withKeys } from '../adapters/oidc/verifyAccessToken.ts';
import { createLogoutTokens } from '../adapters/oidc/verifyLogoutToken.ts';
import { startLivePolicy } from '../adapters/policy/livePolicy.ts';
import { addressOf } from '../adapters/postgres/address.ts';
import { createApprovals } from '../adapters/postgres/approvals/approvals.ts';
import { createAuditLog, createAuditTrail } from '../adapters/postgres/audit.ts';
import { createRunInputs } from '../adapters/postgres/batches/runInputs.ts';
import { createUploads } from '../adapters/postgres/batches/uploads.ts';
import { connectPool } from '../adapters/postgres/connect.ts';
import { createDeadLetters } from '../adapters/postgres/deadLetters/deadLetters.ts';
import { createDeliveries } from '../adapters/postgres/deliveries/deliveries.ts';
import { createDeployments } from '../adapters/postgres/deployments.ts';
import { createLimitedRates } from '../adapters/postgres/limitedRates.ts';
import { createLimits, createStandingLimits } from '../adapters/postgres/limits.ts';
import { createPrincipalDirectory } from '../adapters/postgres/principalDirectory.ts';
import { createQualityResults } from '../adapters/postgres/quality.ts';
import { spendAssertion } from '../adapters/postgres/rights/assertions.ts';
import { watchRevocations } from '../adapters/postgres/rights/liveRevocations.ts';
import { createLogoutRecords } from '../adapters/postgres/rights/logouts.ts';
import { createRevocationRecords } from '../adapters/postgres/rights/revocations.ts';
import { createRunAcceptance } from '../adapters/postgres/runs/acceptance.ts';
import { createRuns } from '../adapters/postgres/runs/apiRuns.ts';
import { createLegalHolds } from '../adapters/postgres/runs/legalHolds.ts';
import { createFirings } from '../adapters/postgres/schedules/firings.ts';
import { createSchedules } from '../adapters/postgres/schedules/schedules.ts';
import { tenantsOf } from '../adapters/postgres/tenants.ts';
import { createMetrics, serveMetrics } from '../adapters/telemetry/metrics.ts';
import { measureRequests } from '../adapters/telemetry/requestMetrics.ts';
import { createTemporalSchedules } from '../adapters/temporal/temporalSchedules.ts';
import { createCallbackCheck } from '../adapters/webhooks/checkCallback.ts';
import { ensureRoot } from '../adapters/webhooks/rootFolder.ts';
import { openWebhookKeys } from '../adapters/webhooks/webhookKeys.ts';
import { createInputs } from '../connectors/sources/createSources.ts';
import { WaybillError } from '../domain/errors.ts';
import { createAuthorizer } from '../domain/grants/authorizer.ts';
import { ofKey } from '../domain/revocation.ts';
import { DelegationClaims, delegationType } from '../domain/schedules/delegation.ts';
import { readSettings, SettingsError } from '../domain/settings.ts';
import { loadProject } from '../engine/project/loadProject.ts';
import { readLetterValue } from '../engine/records/letterRecords.ts';
import { createReceiver } from '../engine/records/receiver.ts';
import { createComputePool } from '../engine/threads/pool.ts';
import { backlog, buildServer } from './server.ts';

const port = z.coerce.number().int().min(0).max(65_535);

const Settings = z.object({
  WAYBILL_API_HOST: z.string().default('127.0.0.1'),
  /** 0 takes a free one. */
  WAYBILL_API_PORT: port.default(8080),
  /** Where Prometheus reads what this process measures; 0 takes a free one. */
  WAYBILL_METRICS_HOST: z.string().default('127.0.0.1'),
  WAYBILL_METRICS_PORT: port.default(9464),
  /** Prefix of links in answers; without it they begin with `/`. */
  WAYBILL_PUBLIC_URL: z.url().optional(),
  /** As the role `waybill_api`. */
  WAYBILL_DATABASE_URL: z.string(),
  /** Read at each connect; else WAYBILL_DATABASE_PASSWORD counts, else what the URL says. */
  WAYBILL_DATABASE_PASSWORD_FILE: z.string().optional(),
  WAYBILL_DATABASE_PASSWORD: z.string().optional(),
  /** The folder with `pipelines/`. */
  WAYBILL_PROJECT: z.string(),
  /** A folder with definitions that were served before, for runs that still need them. Default: none. */
  WAYBILL_DEFINITIONS: z.string().optional(),
  ...objectSettings,
  /** The folder with the private keys that sign grants; all APIs share it, and no other process reads it. */
  WAYBILL_SIGNING_KEYS: z.string(),
  /** The file that names the keys from which the others must descend (docs/keys.md); all APIs write it, the workers read it. */
  WAYBILL_KEY_ROOTS: z.string(),
  /** A file with the public keys of the workloads that may ask for tokens (docs/keys.md). Default: none may. */
  WAYBILL_WORKLOADS: z.string().optional(),
  WAYBILL_INSTANCE: z.string().default('waybill'),
  /** The OIDC issuer of the access tokens, where there is only one. */
  WAYBILL_ISSUER: z.url({ protocol: /^https?$/ }).optional(),
  WAYBILL_AUDIENCE: z.string().default('waybill'),
  /** A file that says which issuers count and for what (docs/identity-providers.md), instead of the two above. */
  WAYBILL_ISSUERS: z.string().optional(),
  WAYBILL_TEMPORAL_UI_URL: z.url().optional(),
  WAYBILL_TEMPORAL_NAMESPACE: z.string().default('default'),
  /** Asked about schedules alone: runs are accepted without Temporal. */
  WAYBILL_TEMPORAL_ADDRESS: z.string().default('127.0.0.1:7233'),
  /** The one of the workers. */
  WAYBILL_TASK_QUEUE: z.string().default('waybill'),
  WAYBILL_FILE_ROOTS: z.string().default(''),
  WAYBILL_EGRESS_ALLOW: z.string().default(''),
  /** The operators of this tenant also operate Waybill as a whole: its keys. Default: no principal does. */
  WAYBILL_OPERATING_TENANT: z.string().default(''),
  /** `host:port`, separated by commas: where events may be sent although it is no public host, and without https. */
  WAYBILL_CALLBACK_ALLOW: z.string().default(''),
  /** The folder with the roots of the keys that sign events. The first is made where there is none. */
  WAYBILL_WEBHOOK_KEYS: z.string(),
});

/** How long requests under way may go on after a stop was asked for. */
const drainMs = 8_000;
/** A database that does not answer within this is away, and callers get 503. */
const answerWithinMs = 5_000;
/** Of the disk that holds objects: an API takes nothing new in while runs under way, and the database, may still need room. */
const reserveBytes = 512 * 1_048_576;
/** The code of a pipeline may take so long on the records that a caller has it try. */
const trialMs = 15_000;

const settings = await orExit(() => readSettings(Settings, process.env));
const issuers = withKeys(await orExit(trustedIssuers));
const stop = Promise.withResolvers<void>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.resolve());
// The supervisor is gone: no process would stop this one.
process.once('disconnect', () => stop.resolve());
const waiting = new AbortController();
void stop.promise.then(() => waiting.abort());

const database = addressOf(
  settings.WAYBILL_DATABASE_URL,
  credentialFrom({
    file: settings.WAYBILL_DATABASE_PASSWORD_FILE,
    value: settings.WAYBILL_DATABASE_PASSWORD,
  }),
);
const tenants = tenantsOf(connectPool(database, { connectionsMax: 10, name: 'waybill-api', answerWithinMs }));
const auditLog = createAuditLog(tenants);
const log = pino({ name: 'api' });
const policy = await startLivePolicy({
  database,
  process: `api ${process.pid}@${hostname()}`,
  audit: auditLog,
  onLoaded: (change) => log.info(change, 'policy loaded'),
  onError: (error) => log.warn({ err: error }, 'policy not read; will try again'),
  signal: waiting.signal,
}).catch(refuseToStart);
const runs = createRuns(tenants, database);
const revocations = watchRevocations({
  database,
  onError: (error) => log.warn({ err: error }, 'revocations not read; will try again'),
});
await ensureRoot(settings.WAYBILL_WEBHOOK_KEYS, Math.floor(Date.now() / 1000));
const objects = await orExit(() => openObjectStore(settings, reserveBytes));
const grantKeys = createGrantKeys({
  tenants,
  database,
  folder: await openKeyFolder(settings.WAYBILL_SIGNING_KEYS),
  roots: openKeyRoots(settings.WAYBILL_KEY_ROOTS),
  isRevoked: (key) => revocations.find(ofKey(key)) !== undefined,
  onError: (error) => log.warn({ err: error }, 'keys of the grants not read; will try again'),
});
const issuer = `urn:waybill:${settings.WAYBILL_INSTANCE}`;
const connection = Connection.lazy({ address: settings.WAYBILL_TEMPORAL_ADDRESS });
const temporal = new Client({ connection, namespace: settings.WAYBILL_TEMPORAL_NAMESPACE });
const metrics = createMetrics();
const definitions = await loadProject(settings.WAYBILL_PROJECT, settings.WAYBILL_DEFINITIONS);
const compute = createComputePool({ objects, taskMs: trialMs, waitingMax: 100 });
const limitsOf = createStandingLimits(tenants);
const limits = createLimits(tenants, limitsOf);
const app = await buildServer(
  {
    acceptance: createRunAcceptance(tenants, limits),
    limits,
    limitedRates: createLimitedRates(tenants, limitsOf),
    uploads: createUploads(tenants),
    runInputs: createRunInputs(tenants),
    runs,
    deadLetters: createDeadLetters(tenants),
    quality: createQualityResults(tenants),
    compute,
    readLetter: readLetterValue,
    legalHolds: createLegalHolds(tenants),
    auditTrail: createAuditTrail(tenants),
    checkDatabase: tenants.check,
    waitingQueries: tenants.waiting,
    auditLog,
    authenticator: createAuthenticator(issuers),
    principalDirectory: createPrincipalDirectory(tenants),
    policy,
    revocations,
    revocationRecords: createRevocationRecords(tenants),
    logoutTokens: createLogoutTokens(issuers),
    logoutRecords: createLogoutRecords(tenants),
    definitions,
    deployments: createDeployments(tenants),
    grantSigner: grantKeys,
    grantKeys,
    grantVerifier: createGrantVerifier({ keys: grantKeys, issuer }),
    authorizer: createAuthorizer({
      ...{ definitions, revocations, policy },
      refresh: () => Promise.all([revocations.refresh(), policy.refresh()]),
    }),
    workloads: await openWorkloads({
      file: settings.WAYBILL_WORKLOADS,
      audience: issuer,
      spend: (assertion) => spendAssertion(tenants, assertion),
    }),
    objects,
    receiver: createReceiver(objects),
    inputs: createInputs({
      fileRoots: settings.WAYBILL_FILE_ROOTS.split(delimiter).filter(Boolean),
      egressAllow: settings.WAYBILL_EGRESS_ALLOW.split(',').filter(Boolean),
    }),
    checkCallback: createCallbackCheck({
      callbackAllow: settings.WAYBILL_CALLBACK_ALLOW.split(',').filter(Boolean),
    }),
    deliveries: createDeliveries(tenants),
    approvals: createApprovals(tenants),
    schedules: createSchedules(tenants),
    firings: createFirings(tenants),
    temporalSchedules: createTemporalSchedules({ client: temporal, taskQueue: settings.WAYBILL_TASK_QUEUE }),
    delegationVerifier: createGrantVerifier({
      keys: grantKeys,
      issuer,
      schema: DelegationClaims,
      type: delegationType,
    }),
    scheduler: schedulerOf(issuer),
    webhookKeys: openWebhookKeys(settings.WAYBILL_WEBHOOK_KEYS),
  },
  {
    instance: settings.WAYBILL_INSTANCE,
    namespace: settings.WAYBILL_TEMPORAL_NAMESPACE,
    authorizationServers: issuers.filter(({ clients }) => clients.length > 0).map(({ issuer }) => issuer),
    operatingTenant: settings.WAYBILL_OPERATING_TENANT,
    ...(settings.WAYBILL_TEMPORAL_UI_URL && { temporalUiUrl: settings.WAYBILL_TEMPORAL_UI_URL }),
    ...(settings.WAYBILL_PUBLIC_URL && { publicUrl: settings.WAYBILL_PUBLIC_URL }),
    onAnswered: measureRequests(metrics),
    log: { level: 'info' },
  },
);
await Promise.race([revocations.ready, stop.promise]);
await app.listen({ host: settings.WAYBILL_API_HOST, port: settings.WAYBILL_API_PORT, backlog });
const exposed = await serveMetrics(metrics, {
  host: settings.WAYBILL_METRICS_HOST,
  port: settings.WAYBILL_METRICS_PORT,
});
process.send?.({
  ready: true,
  port: (app.server.address() as AddressInfo).port,
  metricsPort: exposed.port,
});

await stop.promise;
setTimeout(() => process.exit(1), drainMs).unref();
await Promise.all([app.close(), exposed.close()]);
await Promise.all([runs.close(), policy.close(), grantKeys.close(), revocations.close()]);
await Promise.all([tenants.end(), connection.close(), compute.close()]);
process.exit(0);

async function trustedIssuers() {
  const { WAYBILL_ISSUERS: file, WAYBILL_ISSUER: only, WAYBILL_AUDIENCE: audience } = settings;
  if (file !== undefined && only === undefined) return readIssuers(file);
  if (only !== undefined && file === undefined) return onlyIssuer(only, audience);
  throw new SettingsError('Set WAYBILL_ISSUER, or WAYBILL_ISSUERS for more than one, and not both.');
}

async function orExit<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

function refuseToStart(error: unknown): never {
  if (waiting.signal.aborted) process.exit(0);
  if (!(error instanceof WaybillError) || error.code !== 'PolicyInvalid') throw error;
  console.error(`PolicyInvalid: ${error.detail}`);
  process.exit(1);
}
