import { hostname, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { z } from 'zod';
import type { Dependencies } from '../activities/dependencies.ts';
import { credentialFrom, credentialsIn } from '../adapters/credentials/credentialFrom.ts';
import { objectSettings } from '../adapters/objects/openObjectStore.ts';
import { addressOf } from '../adapters/postgres/address.ts';
import { exposeTemporalMetrics } from '../adapters/telemetry/temporalMetrics.ts';
import { WaybillError } from '../domain/errors.ts';
import { readSettings } from '../domain/settings.ts';
import { startWorker } from './worker.ts';

const Settings = z.object({
  /** As the role `waybill_worker`. */
  WAYBILL_DATABASE_URL: z.string(),
  /** Read at each connect; else WAYBILL_DATABASE_PASSWORD counts, else what the URL says. */
  WAYBILL_DATABASE_PASSWORD_FILE: z.string().optional(),
  WAYBILL_DATABASE_PASSWORD: z.string().optional(),
  /** The same as the role `waybill_relay`, which alone sees the outbox and the runs of all tenants. */
  WAYBILL_RELAY_DATABASE_URL: z.string(),
  WAYBILL_RELAY_DATABASE_PASSWORD_FILE: z.string().optional(),
  WAYBILL_RELAY_DATABASE_PASSWORD: z.string().optional(),
  /** The folder with `pipelines/`. */
  WAYBILL_PROJECT: z.string(),
  /** A folder with definitions that were served before, for runs that still need them. Default: none. */
  WAYBILL_DEFINITIONS: z.string().optional(),
  ...objectSettings,
  /** What one step computed for the next; nothing there must be kept. The workers of one machine may share it. */
  WAYBILL_STAGE_CACHE: z.string().default(join(tmpdir(), 'waybill-stages')),
  WAYBILL_JWKS_URL: z.url(),
  /** The file that names the keys of grants from which the others must descend (docs/keys.md). The first API writes it. */
  WAYBILL_KEY_ROOTS: z.string(),
  WAYBILL_INSTANCE: z.string().default('waybill'),
  WAYBILL_TEMPORAL_ADDRESS: z.string().default('127.0.0.1:7233'),
  WAYBILL_TEMPORAL_NAMESPACE: z.string().default('default'),
  WAYBILL_TASK_QUEUE: z.string().default('waybill'),
  /** A bundle made by `npm run bundle`; without one the worker bundles at its start, which takes seconds. */
  WAYBILL_WORKFLOW_BUNDLE: z.string().optional(),
  /** Of the Worker Deployment in Temporal. */
  WAYBILL_DEPLOYMENT: z.string().min(1).default('waybill'),
  /** Names the code of this worker. With it, runs end on workers of the build that they began on. Default: any worker continues them. */
  WAYBILL_BUILD_ID: z.string().min(1).optional(),
  /** Of `/healthz`, `/readyz` and `/metrics`; port 0 takes a free one. */
  WAYBILL_HEALTH_HOST: z.string().default('127.0.0.1'),
  WAYBILL_HEALTH_PORT: z.coerce.number().int().min(0).max(65_535).default(0),
  /** Where the API gives tokens to steps that call outside. Default: beside the keys. */
  WAYBILL_TOKEN_URL: z.url().optional(),
  /** What the API knows this worker by, and the file with the private key that proves it. */
  WAYBILL_WORKLOAD: z.string().default('worker'),
  WAYBILL_WORKLOAD_KEY: z.string().optional(),
  /** Where callers find the API; links in events about approvals lead there. */
  WAYBILL_PUBLIC_URL: z.url().optional(),
  WAYBILL_FILE_ROOTS: z.string().default(''),
  /** A folder with a file for each credential that a definition names, read again each time. */
  WAYBILL_CREDENTIALS: z.string().optional(),
  WAYBILL_EGRESS_ALLOW: z.string().default(''),
  /** `host:port`, separated by commas: where events may be sent although it is no public host, and without https. */
  WAYBILL_CALLBACK_ALLOW: z.string().default(''),
  /** The folder with the roots of the keys that sign events; the API makes the first. */
  WAYBILL_WEBHOOK_KEYS: z.string(),
});

/**
 * Runs a worker as its environment says, until SIGTERM, SIGINT or the end of its parent process. `adjust` lets a test
 * harness put something else in the place of a dependency; nothing in the environment can.
 */
export async function workerFromEnvironment(adjust?: (deps: Dependencies) => Dependencies): Promise<void> {
  const settings = readSettings(Settings, process.env);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  // The supervisor is gone: no process would stop this one.
  process.once('disconnect', () => stopping.abort());
  // A drain takes 10 s at most; what still hangs after 15 s (a connection without an answer) is left behind.
  stopping.signal.addEventListener('abort', () => setTimeout(() => process.exit(1), 15_000).unref());
  const temporalMetrics = await exposeTemporalMetrics();
  const ended = startWorker(
    {
      database: addressOf(
        settings.WAYBILL_DATABASE_URL,
        credentialFrom({
          file: settings.WAYBILL_DATABASE_PASSWORD_FILE,
          value: settings.WAYBILL_DATABASE_PASSWORD,
        }),
      ),
      relayDatabase: addressOf(
        settings.WAYBILL_RELAY_DATABASE_URL,
        credentialFrom({
          file: settings.WAYBILL_RELAY_DATABASE_PASSWORD_FILE,
          value: settings.WAYBILL_RELAY_DATABASE_PASSWORD,
        }),
      ),
      project: settings.WAYBILL_PROJECT,
      keptDefinitions: settings.WAYBILL_DEFINITIONS,
      objects: settings,
      stageCache: settings.WAYBILL_STAGE_CACHE,
      jwksUrl: new URL(settings.WAYBILL_JWKS_URL),
      keyRoots: settings.WAYBILL_KEY_ROOTS,
      issuer: `urn:waybill:${settings.WAYBILL_INSTANCE}`,
      temporalAddress: settings.WAYBILL_TEMPORAL_ADDRESS,
      namespace: settings.WAYBILL_TEMPORAL_NAMESPACE,
      taskQueue: settings.WAYBILL_TASK_QUEUE,
      ...(settings.WAYBILL_WORKFLOW_BUNDLE && { workflowBundle: settings.WAYBILL_WORKFLOW_BUNDLE }),
      ...(settings.WAYBILL_BUILD_ID && {
        version: { deploymentName: settings.WAYBILL_DEPLOYMENT, buildId: settings.WAYBILL_BUILD_ID },
      }),
      health: { host: settings.WAYBILL_HEALTH_HOST, port: settings.WAYBILL_HEALTH_PORT },
      fileRoots: settings.WAYBILL_FILE_ROOTS.split(delimiter).filter(Boolean),
      credentials: credentialsIn(settings.WAYBILL_CREDENTIALS),
      egressAllow: settings.WAYBILL_EGRESS_ALLOW.split(',').filter(Boolean),
      callbackAllow: settings.WAYBILL_CALLBACK_ALLOW.split(',').filter(Boolean),
      webhookKeys: settings.WAYBILL_WEBHOOK_KEYS,
      identity: `${process.pid}@${hostname()}`,
      tokenUrl: new URL(settings.WAYBILL_TOKEN_URL ?? new URL('../token', settings.WAYBILL_JWKS_URL)),
      ...(settings.WAYBILL_PUBLIC_URL && { publicUrl: settings.WAYBILL_PUBLIC_URL }),
      ...(settings.WAYBILL_WORKLOAD_KEY && {
        workload: { id: settings.WAYBILL_WORKLOAD, keyFile: settings.WAYBILL_WORKLOAD_KEY },
      }),
    },
    {
      signal: stopping.signal,
      temporalMetrics,
      onReady: (healthPort) => process.send?.({ ready: true, healthPort, metricsPort: healthPort }),
      onWarning: (warning) => process.send?.({ warning }),
    },
    adjust,
  );
  await ended.catch((error) => {
    if (!(error instanceof WaybillError) || error.code !== 'PolicyInvalid') throw error;
    console.error(`PolicyInvalid: ${error.detail}`);
    process.exit(1);
  });
  process.exit(0);
}

if (import.meta.main) await workerFromEnvironment();
