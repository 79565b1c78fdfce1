import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import {
  payloadConverterPath,
  workflowInterceptorModules,
  workflowsPath,
} from '../../adapters/temporal/bundleWorkflows.ts';

const histories = new URL('histories/', import.meta.url);

describe('histories of runs that began before this change', () => {
  let bundle: { code: string };
  before(async () => {
    const logger = new DefaultLogger('ERROR');
    Runtime.install({ logger, telemetryOptions: { logging: { filter: 'off', forward: {} } } });
    bundle = await bundleWorkflowCode({
      workflowsPath,
      workflowInterceptorModules,
      payloadConverterPath,
      logger,
    });
  });

  async function replay(text: string): Promise<string | undefined> {
    const results = Worker.runReplayHistories({ workflowBundle: bundle }, [
      { workflowId: 'replayed', history: JSON.parse(text) },
    ]);
    for await (const { error } of results) return error?.name;
    throw new Error('nothing was replayed');
  }

  const names = readdirSync(histories).filter((name) => name.endsWith('.json'));

  it('are there, one for each way of a run, of an event or of a firing', () => {
    assert.deepEqual(names.sort(), [
      'ahead.json',
      'approved.json',
      'approvedBatched.json',
      'batched.json',
      'cancelled.json',
      'eventDelivered.json',
      'eventGivenUp.json',
      'expired.json',
      'fired.json',
      'firingBlocked.json',
      'firingRefused.json',
      'quick.json',
      'refused.json',
      'rejected.json',
    ]);
  });

  for (const name of names) {
    it(`replay: ${name}`, async () => {
      assert.equal(await replay(readFileSync(new URL(name, histories), 'utf8')), undefined);
    });
  }

  it('do not replay once the steps are other steps', async () => {
    const text = readFileSync(new URL('batched.json', histories), 'utf8');
    const altered = text.replaceAll('"name": "transform"', '"name": "convert"');
    assert.notEqual(altered, text);
    assert.equal(await replay(altered), 'DeterminismViolationError');
  });
});
