import { join } from 'node:path';
import type { Home } from './home.ts';
import { nodeService } from './nodeService.ts';
import type { DatabaseRole } from './passwords.ts';
import type { Postgres } from './postgres.ts';
import type { Service } from './service.ts';
import type { StackPorts } from './stackPorts.ts';
import type { StackSettings } from './stackSettings.ts';
import type { Temporal } from './temporal.ts';

/** What the processes of one start have in common. */
export interface Stack {
  home: Home;
  settings: StackSettings;
  ports: StackPorts;
  /** The folder that is served. */
  project: string;
  instance: string;
  /** The folder of the private keys that sign grants. */
  grantKeys: string;
  /** The file with the private key of the workers, and the one from which the API knows it. */
  workload: { keyFile: string; workloadsFile: string };
  /** Of the supervisor, without its `WAYBILL_…`: each process gets exactly what it needs of those. */
  baseEnv: Readonly<Record<string, string | undefined>>;
}

export function urlsOf({ ports }: Stack): { apiUrl: string; issuerUrl: string } {
  return { apiUrl: `http://127.0.0.1:${ports.api}`, issuerUrl: `http://127.0.0.1:${ports.issuer}` };
}

export function postgresService(postgres: Postgres): Service {
  // SIGINT is PostgreSQL’s fast shutdown: it does not wait for clients to leave.
  return {
    name: 'postgres',
    spawn: postgres.spawn,
    ready: postgres.ready,
    stopSignal: 'SIGINT',
    graceMs: 15_000,
  };
}

export function temporalService(temporal: Temporal): Service {
  return {
    name: 'temporal',
    spawn: temporal.spawn,
    ready: temporal.ready,
    stopSignal: 'SIGTERM',
    graceMs: 10_000,
  };
}

export function idpService(stack: Stack): Service {
  const { home, ports, baseEnv } = stack;
  const env = {
    ...baseEnv,
    WAYBILL_ISSUER_PORT: String(ports.issuer),
    WAYBILL_IDP_KEYS: `${home.keys}/idp.json`,
    WAYBILL_LOGOUT_URL: `${urlsOf(stack).apiUrl}/v1/backchannel-logout`,
  };
  return nodeService({ name: 'idp', entry: 'dev/stack/idpMain.ts', env, graceMs: 3_000 });
}

export function apiService(stack: Stack, postgres: Postgres, temporal: Temporal): Service {
  const { home, ports, settings, baseEnv } = stack;
  const { apiUrl, issuerUrl } = urlsOf(stack);
  const env = {
    ...baseEnv,
    WAYBILL_API_HOST: '127.0.0.1',
    WAYBILL_API_PORT: String(ports.api),
    WAYBILL_METRICS_PORT: String(ports.metrics),
    WAYBILL_PUBLIC_URL: apiUrl,
    ...databaseEnv(postgres, 'waybill_api'),
    WAYBILL_PROJECT: stack.project,
    WAYBILL_DEFINITIONS: stack.home.definitions,
    ...objectsEnv(stack),
    WAYBILL_SIGNING_KEYS: stack.grantKeys,
    WAYBILL_KEY_ROOTS: keyRootsOf(stack),
    WAYBILL_WORKLOADS: stack.workload.workloadsFile,
    WAYBILL_INSTANCE: stack.instance,
    WAYBILL_ISSUER: issuerUrl,
    WAYBILL_AUDIENCE: 'waybill',
    WAYBILL_OPERATING_TENANT: 'acme',
    WAYBILL_TEMPORAL_UI_URL: temporal.uiUrl,
    WAYBILL_TEMPORAL_NAMESPACE: 'default',
    WAYBILL_TEMPORAL_ADDRESS: temporal.address,
    WAYBILL_TASK_QUEUE: 'waybill',
    WAYBILL_FILE_ROOTS: fileRootsOf(stack),
    WAYBILL_EGRESS_ALLOW: settings.WAYBILL_EGRESS_ALLOW,
    WAYBILL_CALLBACK_ALLOW: settings.WAYBILL_CALLBACK_ALLOW,
    WAYBILL_WEBHOOK_KEYS: join(home.keys, 'webhooks'),
  };
  return nodeService({ name: 'api', entry: 'api/main.ts', env, graceMs: 10_000 });
}

export function workerServices(
  stack: Stack,
  postgres: Postgres,
  temporal: Temporal,
  bundle: string,
): Service[] {
  const env = { ...stack.baseEnv, ...workerEnv(stack, postgres, temporal, bundle) };
  return workerNames(stack).map((name) =>
    nodeService({ name, entry: 'workers/main.ts', env, graceMs: 20_000, imports: workerImports }),
  );
}

export const workerImports = ['workers/noPromiseStacks.ts'];

/** Where file sources may read, unless the environment says: the data that a project brings. */
function fileRootsOf({ settings, project }: Stack): string {
  return settings.WAYBILL_FILE_ROOTS || join(project, 'data');
}

/** A variable that is empty counts as not set. */
function objectsEnv({ home, settings }: Stack): Record<string, string> {
  return {
    WAYBILL_OBJECTS: settings.WAYBILL_OBJECTS || home.objects,
    WAYBILL_OBJECTS_ENDPOINT: settings.WAYBILL_OBJECTS_ENDPOINT,
    WAYBILL_OBJECTS_REGION: settings.WAYBILL_OBJECTS_REGION,
    WAYBILL_OBJECTS_CREDENTIALS_FILE: settings.WAYBILL_OBJECTS_CREDENTIALS_FILE,
  };
}

/** Beside the folder of the keys, which the workers do not read. */
function keyRootsOf({ grantKeys }: Stack): string {
  return `${grantKeys}.roots`;
}

export function workerNames({ settings }: Stack): `worker-${number}`[] {
  return Array.from({ length: settings.WAYBILL_WORKERS }, (_, i) => `worker-${i + 1}` as const);
}

/** Where the database is, as a role, and where its password lies: no secret stands in an environment. */
function databaseEnv(
  { port, passwords }: Postgres,
  role: DatabaseRole,
  name = 'WAYBILL_DATABASE',
): Record<string, string> {
  return {
    [`${name}_URL`]: `postgres://${role}@127.0.0.1:${port}/waybill`,
    [`${name}_PASSWORD_FILE`]: passwords.fileOf(role),
  };
}

/** What `workers/main.ts` needs to serve this home. */
export function workerEnv(
  stack: Stack,
  postgres: Postgres,
  temporal: Temporal,
  bundle: string,
): Record<string, string> {
  const { home, settings } = stack;
  return {
    ...databaseEnv(postgres, 'waybill_worker'),
    ...databaseEnv(postgres, 'waybill_relay', 'WAYBILL_RELAY_DATABASE'),
    WAYBILL_PROJECT: stack.project,
    WAYBILL_DEFINITIONS: stack.home.definitions,
    ...objectsEnv(stack),
    WAYBILL_STAGE_CACHE: home.stageCache,
    WAYBILL_PUBLIC_URL: urlsOf(stack).apiUrl,
    WAYBILL_JWKS_URL: `${urlsOf(stack).apiUrl}/.well-known/jwks.json`,
    WAYBILL_KEY_ROOTS: keyRootsOf(stack),
    WAYBILL_WORKLOAD_KEY: stack.workload.keyFile,
    WAYBILL_INSTANCE: stack.instance,
    WAYBILL_TEMPORAL_ADDRESS: temporal.address,
    WAYBILL_TEMPORAL_NAMESPACE: 'default',
    WAYBILL_TASK_QUEUE: 'waybill',
    WAYBILL_WORKFLOW_BUNDLE: bundle,
    WAYBILL_CREDENTIALS: settings.WAYBILL_CREDENTIALS,
    WAYBILL_FILE_ROOTS: fileRootsOf(stack),
    WAYBILL_EGRESS_ALLOW: settings.WAYBILL_EGRESS_ALLOW,
    WAYBILL_CALLBACK_ALLOW: settings.WAYBILL_CALLBACK_ALLOW,
    WAYBILL_WEBHOOK_KEYS: join(home.keys, 'webhooks'),
  };
}
