import { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { createActivities, type Dependencies } from '../../activities/index.ts';
import { credentialFrom } from '../../adapters/credentials/credentialFrom.ts';
import { openDirectory } from '../../adapters/objects/directory.ts';
import { addressOf } from '../../adapters/postgres/address.ts';
import { connectPool } from '../../adapters/postgres/connect.ts';
import { createProgress } from '../../adapters/postgres/progress/progress.ts';
import { watchRuns } from '../../adapters/postgres/runs/watchRuns.ts';
import { createSink } from '../../adapters/postgres/sink/sink.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { loadProject } from '../../adapters/project/loadProject.ts';
import { workflowsPath } from '../../adapters/temporal/bundleWorkflows.ts';
import { stepInterceptor } from '../../adapters/temporal/stepInterceptor.ts';
import { createComputePool } from '../../engine/threads/pool.ts';
import { startRelay } from '../../workers/relay.ts';
import { believing } from './believe.ts';
import { plainSettings } from './settings.ts';

/*
 * A worker as `workers/worker.ts` wires it, relay included, but without the identity plugin: nothing carries a grant, nothing
 * verifies one, and neither revocations nor a policy are asked before a step. Workflow, steps and adapters are the same. Of the
 * dependencies there are those that a run of one inline record needs. Ends with its parent.
 */
const settings = plainSettings();
const addressAs = (role: keyof typeof settings.databases) => {
  const { url, passwordFile } = settings.databases[role];
  return addressOf(url, credentialFrom({ file: passwordFile, value: undefined }));
};
const database = addressAs('waybill_worker');
const tenants = tenantsOf(connectPool(database, { connectionsMax: 16, name: 'plain-worker' }));
const runs = watchRuns(database);
const stopping = new AbortController();
const { progress, grant } = believing(
  createProgress(tenants, (runId, timeoutMs, signal) => runs.wait(runId, timeoutMs, signal)),
);
const dependencies: Partial<Dependencies> = {
  grant,
  decision: () => undefined,
  recheck: async () => {},
  progress,
  objects: await openDirectory(settings.objects),
  definitions: await loadProject(settings.project),
  compute: createComputePool({ threadsMax: 1 }),
  sink: createSink(tenants),
  nowS: () => Math.floor(Date.now() / 1000),
  draining: stopping.signal,
};

Runtime.install({ logger: new DefaultLogger('WARN') });
const { temporalAddress: address, taskQueue } = settings;
const connection = await NativeConnection.connect({ address });
const client = new Client({ connection });
const worker = await Worker.create({
  connection,
  taskQueue,
  workflowsPath,
  activities: createActivities(dependencies as Dependencies),
  interceptors: { activity: [stepInterceptor] },
  maxHeartbeatThrottleInterval: '1s',
  defaultHeartbeatThrottleInterval: '1s',
  stickyQueueScheduleToStartTimeout: '2s',
  maxConcurrentActivityTaskExecutions: 64,
  maxConcurrentLocalActivityExecutions: 64,
  maxConcurrentWorkflowTaskExecutions: 32,
  maxCachedWorkflows: 300,
});
const relayDatabase = addressAs('waybill_relay');
startRelay({
  pool: connectPool(relayDatabase, { connectionsMax: 6, name: 'plain-relay' }),
  database: relayDatabase,
  client,
  taskQueue,
  onError: (error) => console.error(error),
});
process.once('disconnect', () => process.exit(0));
process.send?.({ ready: true });
await worker.run();
