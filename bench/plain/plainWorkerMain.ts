import { Client } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Dependencies } from '../../activities/dependencies.ts';
import { createActivities } from '../../activities/index.ts';
import { credentialFrom } from '../../adapters/credentials/credentialFrom.ts';
import { openFileObjectStore } from '../../adapters/objects/fileObjectStore.ts';
import { addressOf } from '../../adapters/postgres/address.ts';
import { createBatches } from '../../adapters/postgres/batches/batches.ts';
import { createStages } from '../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../adapters/postgres/connect.ts';
import { createDueDeliveries } from '../../adapters/postgres/deliveries/dueDeliveries.ts';
import { createLedger } from '../../adapters/postgres/ledger/ledger.ts';
import { createWatermarks } from '../../adapters/postgres/ledger/watermarks.ts';
import { createOutbox } from '../../adapters/postgres/outbox.ts';
import { createRunStates } from '../../adapters/postgres/runs/runStates.ts';
import { watchRuns } from '../../adapters/postgres/runs/watchRuns.ts';
import { createDueSchedules } from '../../adapters/postgres/schedules/dueSchedules.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { workflowsPath } from '../../adapters/temporal/bundleWorkflows.ts';
import { stepInterceptor } from '../../adapters/temporal/stepInterceptor.ts';
import { stepsAhead } from '../../adapters/temporal/stepsAhead.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
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
const changes = watchRuns(database);
const stopping = new AbortController();
const { runs, grant } = believing(createRunStates(tenants));
const objects = await openFileObjectStore(settings.objects);
const dependencies: Partial<Dependencies> = {
  grant,
  decision: () => undefined,
  isPermitted: () => true,
  recheck: async () => {},
  runs,
  batches: createBatches(tenants, (runId, timeoutMs, signal) => changes.wait(runId, timeoutMs, signal)),
  stages: createStages(tenants),
  watermarks: createWatermarks(tenants),
  objects,
  definitions: await loadProject(settings.project),
  compute: createComputePool({ objects, threadsMax: 1 }),
  ledger: createLedger(tenants),
  nowS: () => Math.floor(Date.now() / 1000),
  draining: stopping.signal,
};

Runtime.install({ logger: new DefaultLogger('WARN') });
const { temporalAddress: address, taskQueue } = settings;
const connection = await NativeConnection.connect({ address });
const client = new Client({ connection });
const activities = createActivities(dependencies as Dependencies);
const worker = await Worker.create({
  connection,
  taskQueue,
  workflowsPath,
  activities,
  interceptors: {
    activity: [
      (context) => stepsAhead(context, { activities, interceptors: [stepInterceptor] }),
      stepInterceptor,
    ],
  },
  maxHeartbeatThrottleInterval: '1s',
  defaultHeartbeatThrottleInterval: '1s',
  stickyQueueScheduleToStartTimeout: '2s',
  maxConcurrentActivityTaskExecutions: 64,
  maxConcurrentLocalActivityExecutions: 64,
  maxConcurrentWorkflowTaskExecutions: 32,
  maxCachedWorkflows: 300,
});
const relayDatabase = addressAs('waybill_relay');
const relayPool = connectPool(relayDatabase, { connectionsMax: 6, name: 'plain-relay' });
startRelay({
  outbox: createOutbox(relayPool, relayDatabase),
  dueDeliveries: createDueDeliveries(relayPool),
  dueSchedules: createDueSchedules(relayPool),
  client,
  taskQueue,
  onError: (error) => console.error(error),
});
process.once('disconnect', () => process.exit(0));
process.send?.({ ready: true });
await worker.run();
