import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { activityFailureOf } from '../../../adapters/temporal/activityFailure.ts';
import { reportAttempts } from '../../../adapters/temporal/reportAttempts.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { FailedAttempt } from '../../../domain/runs/run.ts';

const run = { tenant: 'acme', runId: 'orders-1' };
const retryPolicy = { initialInterval: 500, backoffCoefficient: 2, maximumInterval: 30_000 };

describe('reports of attempts', () => {
  before(() => Runtime.install({ logger: new DefaultLogger('ERROR') }));

  const recorded: FailedAttempt[] = [];
  const cleared: string[] = [];
  const log = {
    record: async (_: object, failed: FailedAttempt) => void recorded.push(failed),
    clear: async (_: object, step: string) => void cleared.push(step),
  };

  /** What one attempt records; `error: undefined` is a success. */
  async function reported(attempt: number, error: unknown, reports = reportAttempts(log)) {
    recorded.length = 0;
    cleared.length = 0;
    const environment = new MockActivityEnvironment({ attempt, activityType: 'store', retryPolicy });
    await environment.run(async () => {
      const context = Context.current();
      const failure = error instanceof WaybillError ? activityFailureOf(error, context) : error;
      await (failure ? reports.failed(run, failure, context) : reports.succeeded(run, context, undefined));
    });
    return { recorded: [...recorded], cleared: [...cleared] };
  }

  for (const [attempt, delayMs] of [
    [1, 500],
    [2, 1_000],
    [4, 4_000],
    [9, 30_000],
    [200, 30_000],
  ] as const)
    it(`say when attempt ${attempt} is retried: after ${delayMs} ms`, async () => {
      const beforeMs = Date.now();
      const [failed] = (await reported(attempt, new WaybillError('DatabaseUnavailable'))).recorded;
      assert.equal(failed?.step, 'store');
      assert.equal(failed.code, 'DatabaseUnavailable');
      assert.equal(failed.attempt, attempt);
      const reportedMs = Date.parse(failed.nextAttemptAt!) - delayMs;
      assert.ok(reportedMs >= beforeMs && reportedMs <= Date.now(), `${reportedMs - beforeMs} ms`);
    });

  it('follow the delay that the failure names', async () => {
    const error = new WaybillError('DatabaseUnavailable', { retryAfterMs: 7_000 });
    const beforeMs = Date.now();
    const [failed] = (await reported(1, error)).recorded;
    const reportedMs = Date.parse(failed!.nextAttemptAt!) - 7_000;
    assert.ok(reportedMs >= beforeMs && reportedMs <= Date.now(), `${reportedMs - beforeMs} ms`);
  });

  it('say nothing of a failure that is not retried and explains itself, nor of a cancellation', async () => {
    assert.deepEqual((await reported(1, new WaybillError('GrantRevoked'))).recorded, []);
    assert.deepEqual((await reported(3, new CancelledFailure('cancelled'))).recorded, []);
  });

  it('keep the message of a failure that says more than its code, and the end of a retry', async () => {
    const message = 'The transform threw on line 7.';
    const precise = ApplicationFailure.nonRetryable(message, 'TransformFailed');
    const none = { step: 'store', nextAttemptAt: null };
    assert.deepEqual((await reported(1, precise)).recorded, [
      { ...none, code: 'TransformFailed', message, attempt: 1 },
    ]);
    const revoked = new WaybillError('GrantRevoked');
    assert.deepEqual((await reported(2, revoked)).recorded, [
      { ...none, code: revoked.code, message: revoked.message, attempt: 2 },
    ]);
  });

  it('cost a first attempt that succeeds nothing; a retry that succeeds clears the failure', async () => {
    assert.deepEqual((await reported(1, undefined)).cleared, []);
    assert.deepEqual((await reported(2, undefined)).cleared, ['store']);
  });

  it('clear the failure of a local activity that continues as a remote one, which counts from 1 again', async () => {
    const reports = reportAttempts(log);
    await reported(4, new WaybillError('DatabaseUnavailable'), reports);
    assert.deepEqual((await reported(1, undefined, reports)).cleared, ['store']);
  });

  it('neither fail nor delay an attempt when they cannot be recorded', async () => {
    for (const record of [() => Promise.reject(new Error('away')), () => new Promise<void>(() => {})]) {
      const startMs = performance.now();
      await reported(1, new WaybillError('DatabaseUnavailable'), reportAttempts({ ...log, record }));
      assert.ok(performance.now() - startMs < 4_000);
    }
  });
});
