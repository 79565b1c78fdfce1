import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { type AheadOptions, stepsAhead } from '../../../adapters/temporal/stepsAhead.ts';
import type { StepCall } from '../../../domain/runs/run.ts';

const whole = { received: 1, inputComplete: true };
const small: StepCall[] = [
  ['validate', { seq: 0 }],
  ['transform', { seq: 0 }],
  ['store', { seq: 0 }],
  ['finalize', { state: 'completed' }],
];

describe('the steps after ingest, in its activity', () => {
  /** What the attempt answers, and which steps were taken, each as its own interceptors saw it. */
  async function taken({
    ahead = small as unknown,
    arrived = whole as object,
    activityType = 'ingest',
    steps = {} as Record<string, (argument: never) => Promise<unknown>>,
  } = {}) {
    const seen: string[] = [];
    const usual = async (argument: unknown) => ({ said: argument });
    const names = ['validate', 'transform', 'store', 'publish', 'finalize'] as const;
    const activities = Object.fromEntries(
      names.map((name) => [name, steps[name] ?? usual]),
    ) as unknown as AheadOptions['activities'];
    const environment = new MockActivityEnvironment({ activityType, attempt: 3 });
    const answer = await environment.run(async () => {
      const context = Context.current();
      const { inbound } = stepsAhead(context, {
        activities,
        interceptors: [
          ({ info }) => ({
            inbound: {
              execute(input, next) {
                assert.deepEqual(Object.keys(input.headers), ['grant']);
                seen.push(`${info.activityType} ${info.attempt}`);
                return next(input);
              },
            },
          }),
        ],
      });
      const input = { args: [{ after: 0, ahead }], headers: { grant: {} } };
      return inbound!.execute!(input, async () => arrived);
    });
    return { answer, seen };
  }

  it('are attempts of their own, one after the other', async () => {
    const { answer, seen } = await taken();
    assert.deepEqual(seen, ['validate 1', 'transform 1', 'store 1', 'finalize 1']);
    const results = Object.fromEntries(small.map(([step, said]) => [step, { said }]));
    assert.deepEqual(answer, { ...whole, ahead: { results } });
  });

  it('end with the first that is rejected, which is said with those before it', async () => {
    const steps = {
      store: async () => {
        throw ApplicationFailure.nonRetryable('Revoked.', 'GrantRevoked');
      },
    };
    const { answer, seen } = await taken({ steps });
    assert.deepEqual(seen, ['validate 1', 'transform 1', 'store 1']);
    assert.deepEqual((answer as { ahead: object }).ahead, {
      results: { validate: { said: { seq: 0 } }, transform: { said: { seq: 0 } } },
      failed: { step: 'store', code: 'GrantRevoked', message: 'Revoked.' },
    });
  });

  it('count for nothing where one of them is to be retried, or was cancelled', async () => {
    for (const error of [
      ApplicationFailure.retryable('Away.', 'DatabaseUnavailable'),
      new Error('cancelled'),
    ]) {
      const { answer, seen } = await taken({ steps: { transform: () => Promise.reject(error) } });
      assert.deepEqual(seen, ['validate 1', 'transform 1']);
      assert.deepEqual(answer, whole);
    }
  });

  it('end before the end of the run where what was approved has changed', async () => {
    const ahead: StepCall[] = [...small.slice(0, 2), ['publish'], ['finalize', { state: 'completed' }]];
    const stale = { publish: async () => ({ outcome: 'stale' }) };
    assert.deepEqual((await taken({ ahead, steps: stale })).seen, ['validate 1', 'transform 1', 'publish 1']);
    const published = { publish: async () => ({ outcome: 'published' }) };
    assert.equal((await taken({ ahead, steps: published })).seen.at(-1), 'finalize 1');
  });

  it('are not taken for input that is larger or not complete, nor beside another step', async () => {
    for (const arrived of [
      { received: 2, inputComplete: true },
      { received: 1, inputComplete: false },
      { received: 0, inputComplete: true },
    ])
      assert.deepEqual(await taken({ arrived }), { answer: arrived, seen: [] });
    assert.deepEqual((await taken({ activityType: 'validate' })).seen, []);
  });

  it('are only those of a run', async () => {
    for (const ahead of [null, 'store', [['ingest', {}]], [['__proto__']], [null], [['store'], 7]])
      assert.deepEqual(await taken({ ahead }), { answer: whole, seen: [] });
  });
});
