import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Context } from '@temporalio/activity';
import type { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { activityFailureOf } from '../../../adapters/temporal/activityFailure.ts';
import { type ErrorCode, WaybillError } from '../../../domain/errors.ts';

async function failureOf(code: ErrorCode, attempt: number, heartbeatDetails?: unknown) {
  const environment = new MockActivityEnvironment({ attempt, heartbeatDetails });
  const beats: unknown[] = [];
  environment.on('heartbeat', (details: unknown) => beats.push(details));
  const failure = (await environment.run(async () =>
    activityFailureOf(new WaybillError(code, { retryAfterMs: 5_000 }), Context.current()),
  )) as ApplicationFailure;
  return { failure, beats };
}

describe('attempts that only wait for another system', () => {
  it('are retried when the breaker says, without limit, and are counted', async () => {
    const { failure, beats } = await failureOf('SystemUnavailable', 1_000, 700);
    assert.equal(failure.nonRetryable, false);
    assert.equal(failure.nextRetryDelay, 5_000);
    assert.deepEqual(beats, [701]);
  });

  it('do not bring the end of the others nearer', async () => {
    assert.equal((await failureOf('SourceUnavailable', 25)).failure.nonRetryable, true);
    assert.equal((await failureOf('SourceUnavailable', 40, 16)).failure.nonRetryable, false);
    assert.equal((await failureOf('SourceUnavailable', 40, 15)).failure.nonRetryable, true);
  });

  it('are none where a heartbeat says nonsense', async () => {
    for (const details of [-5, 1.5, 'many', { waits: 3 }])
      assert.equal((await failureOf('SourceUnavailable', 25, details)).failure.nonRetryable, true);
  });
});
