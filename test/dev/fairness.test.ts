import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { dynamicConfig } from '../../dev/stack/temporal.ts';
import { findTemporalForTest } from '../adapters/temporal/server.ts';

const busyTenantRuns = 60;
/** Without it the queue is split, and each part has an order of its own. */
const onePartition = ['matching.numTaskqueueReadPartitions=1', 'matching.numTaskqueueWritePartitions=1'];

let code: string;

before(async () => {
  const workflowsPath = fileURLToPath(new URL('nothingWorkflow.ts', import.meta.url));
  ({ code } = await bundleWorkflowCode({ workflowsPath }));
});

/**
 * Fills a task queue with runs of one tenant and adds one run of another, then lets a worker do one task at a time.
 * Returns how many runs of the busy tenant ended before the one of the other.
 */
async function waitedFor(config: readonly string[]): Promise<number> {
  const env = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: await findTemporalForTest() },
      log: { format: 'json', level: 'error' },
      extraArgs: [...onePartition, ...config].flatMap((value) => ['--dynamic-config-value', value]),
    },
  });
  try {
    const taskQueue = 'fairness';
    const start = (fairnessKey: string, n: number) =>
      env.client.workflow.start('nothing', {
        taskQueue,
        workflowId: `${fairnessKey}-${n}`,
        priority: { fairnessKey },
      });
    const busy = [];
    for (let n = 0; n < busyTenantRuns; n++) busy.push(await start('busy', n));
    const other = await start('other', 0);
    const worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue,
      workflowBundle: { code },
      maxConcurrentWorkflowTaskExecutions: 2,
      maxConcurrentWorkflowTaskPolls: 1,
      maxCachedWorkflows: 2,
    });
    await worker.runUntil(Promise.all([...busy, other].map((handle) => handle.result())));
    const closed = async (handle: typeof other) => (await handle.describe()).closeTime!.getTime();
    const otherAt = await closed(other);
    return (await Promise.all(busy.map(closed))).filter((at) => at < otherAt).length;
  } finally {
    await env.teardown();
  }
}

describe('fairness between tenants', () => {
  it('a run of another tenant does not wait for the backlog of a busy one', async () => {
    const ended = await waitedFor(dynamicConfig);
    assert.ok(ended < busyTenantRuns / 2, `${ended} ended before`);
  });

  it('it would, were fairness off', async () => {
    const off = dynamicConfig.filter((value) => !value.startsWith('matching.'));
    const ended = await waitedFor([...off, 'matching.enableFairness=false']);
    assert.ok(ended > busyTenantRuns * 0.8, `${ended} ended before`);
  });
});
