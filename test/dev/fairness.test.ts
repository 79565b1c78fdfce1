import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { isQueueFair } from '../../adapters/temporal/fairness.ts';
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
  const env = await startTemporal([...onePartition, ...config]);
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

async function startTemporal(config: readonly string[]): Promise<TestWorkflowEnvironment> {
  return TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: await findTemporalForTest() },
      log: { format: 'json', level: 'error' },
      extraArgs: config.flatMap((value) => ['--dynamic-config-value', value]),
    },
  });
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

  for (const [title, config, fair] of [
    ['is seen where it is in force', dynamicConfig, true],
    ['is missed where it is off', ['matching.enableFairness=false'], false],
    [
      'is missed beside the old matcher',
      ['matching.enableFairness=false', 'matching.useNewMatcher=false'],
      false,
    ],
  ] as const)
    it(title, async () => {
      const env = await startTemporal([...onePartition, ...config]);
      try {
        const queue = { address: env.address, namespace: 'default', taskQueue: 'waybill' };
        assert.equal(await isQueueFair(queue), undefined);
        // Without a worker its task becomes the backlog.
        await env.client.workflow.start('nothing', { taskQueue: 'waybill', workflowId: 'a' });
        let told: boolean | undefined;
        for (let i = 0; i < 100 && told === undefined; i++) {
          await new Promise((resolve) => setTimeout(resolve, 100));
          told = await isQueueFair(queue);
        }
        assert.equal(told, fair);
        await assert.rejects(isQueueFair({ ...queue, namespace: 'missing' }));
      } finally {
        await env.teardown();
      }
    });

  it('is not told where no server answers', async () => {
    await assert.rejects(isQueueFair({ address: '127.0.0.1:1', namespace: 'default', taskQueue: 'waybill' }));
  });
});
