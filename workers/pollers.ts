import type { Context } from '@temporalio/activity';
import {
  type ActivityInterceptors,
  type NativeConnection,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import type { Registry } from 'prom-client';
import { createWebhookDelivery } from '../activities/deliver.ts';
import type { Dependencies } from '../activities/dependencies.ts';
import { createFirer } from '../activities/fire.ts';
import { createActivities } from '../activities/index.ts';
import { createSweeper } from '../activities/sweep.ts';
import { createScheduler } from '../adapters/keys/scheduler.ts';
import { measureSteps } from '../adapters/telemetry/stepMetrics.ts';
import { payloadConverterPath, workflowsPath } from '../adapters/temporal/bundleWorkflows.ts';
import { currentFiring, firingInterceptor } from '../adapters/temporal/firingInterceptor.ts';
import type { identityPlugin } from '../adapters/temporal/identityPlugin.ts';
import { stepInterceptor } from '../adapters/temporal/stepInterceptor.ts';
import { stepsAhead } from '../adapters/temporal/stepsAhead.ts';
import { deliveryInterceptor } from '../adapters/temporal/webhookDeliveryInterceptor.ts';
import type { RunSweeps } from '../domain/ports/runSweeps.ts';
import { deliveryQueueOf, fetchQueueOf, firingQueueOf } from '../domain/taskQueues.ts';
import type { WorkerSettings } from './settings.ts';

/** After SIGTERM, how long steps under way may go on before they are handed to another worker. */
const drainMs = 10_000;

export interface PollerOptions {
  settings: WorkerSettings;
  connection: NativeConnection;
  identity: ReturnType<typeof identityPlugin>;
  /** What `identity` puts around each attempt. */
  guarded: (context: Context) => ActivityInterceptors;
  dependencies: Dependencies;
  sweeps: RunSweeps;
  metrics: Registry;
}

/**
 * What polls Temporal, one for each kind of work: `runs` for workflows and their steps, `fetches` for what is read from outside, and
 * two that ask for no grant and so work on no step, `deliveries` and `firings`.
 */
export async function createPollers({
  settings,
  connection,
  identity,
  guarded,
  dependencies,
  sweeps,
  metrics,
}: PollerOptions) {
  const { taskQueue, issuer, workload } = settings;
  const activities = createActivities(dependencies);
  const measured = measureSteps(metrics);
  const shared = {
    connection,
    interceptors: { activity: [measured, stepInterceptor] },
    namespace: settings.namespace,
    identity: settings.identity,
    shutdownGraceTime: drainMs,
    // Heartbeats each second, so that a 5 s heartbeat timeout does not mistake a busy moment for death.
    maxHeartbeatThrottleInterval: '1s',
    defaultHeartbeatThrottleInterval: '1s',
  } satisfies Partial<WorkerOptions>;

  const fetches = await Worker.create({
    ...shared,
    ...versionOf(settings),
    plugins: [identity],
    taskQueue: fetchQueueOf(taskQueue),
    activities: { fetch: activities.fetch },
    maxConcurrentActivityTaskExecutions: 32,
  });
  const deliveries = await Worker.create({
    ...shared,
    taskQueue: deliveryQueueOf(taskQueue),
    activities: createWebhookDelivery(dependencies),
    interceptors: { activity: [measured, (context) => deliveryInterceptor(context, dependencies.audit)] },
    maxConcurrentActivityTaskExecutions: 64,
  });
  const firings = await Worker.create({
    ...shared,
    taskQueue: firingQueueOf(taskQueue),
    activities: {
      ...createFirer({
        firing: currentFiring,
        scheduler: createScheduler({ url: settings.tokenUrl, issuer, workload }),
      }),
      ...createSweeper({ sweeps, objects: dependencies.objects }),
    },
    interceptors: {
      activity: [
        measured,
        (context) =>
          context.info.activityType === 'sweep' ? stepInterceptor(context) : firingInterceptor(context),
      ],
    },
    // Each has the API ask Temporal a few things, so many at once only hinder one another.
    maxConcurrentActivityTaskExecutions: 4,
  });
  const runs = await Worker.create({
    ...shared,
    ...versionOf(settings),
    plugins: [identity],
    interceptors: {
      activity: [
        (context) => stepsAhead(context, { activities, interceptors: [guarded, measured, stepInterceptor] }),
        ...shared.interceptors.activity,
      ],
    },
    taskQueue,
    activities,
    ...(settings.workflowBundle
      ? { workflowBundle: { codePath: settings.workflowBundle } }
      : { workflowsPath, dataConverter: { payloadConverterPath } }),
    // A killed worker’s runs move on after this long; the default is 10 s.
    stickyQueueScheduleToStartTimeout: '2s',
    maxConcurrentActivityTaskExecutions: 64,
    maxConcurrentLocalActivityExecutions: 64,
    maxConcurrentWorkflowTaskExecutions: 32,
    maxCachedWorkflows: 300,
  });
  return { runs, fetches, deliveries, firings };
}

/** A run is pinned to the version on which it begins: no worker with other code of it takes its tasks. */
function versionOf({ version }: WorkerSettings): Pick<WorkerOptions, 'workerDeploymentOptions'> {
  if (!version) return {};
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: 'PINNED' },
  };
}
