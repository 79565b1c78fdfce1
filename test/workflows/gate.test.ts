import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Client, type WorkflowHandle, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import type { Activities } from '../../activities/index.ts';
import type { ApprovalStatus as Approval } from '../../activities/processApprovalTimers.ts';
import {
  payloadConverterPath,
  workflowInterceptorModules,
  workflowsPath,
} from '../../adapters/temporal/bundleWorkflows.ts';
import { searchAttributeNames, searchAttributesOf } from '../../adapters/temporal/searchAttributes.ts';
import type { DecisionMessage } from '../../domain/approvals/decision.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import { fetchQueueOf } from '../../domain/taskQueues.ts';
import { decide, type RunInput } from '../../workflows/messages.ts';
import { historyEventsMax } from '../../workflows/timeouts.ts';
import { startTemporalForTest } from '../adapters/temporal/server.ts';
import { until } from '../support/until.ts';

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal’s API. */
const keyword = 2;

/** The workflow alone, on a real server, with steps that a test makes up: how it waits, not whether it may go on. */
describe('a run at its gate', () => {
  let env: Awaited<ReturnType<typeof startTemporalForTest>>['env'];
  let worker: Worker;
  let workflowBundle: { code: string };
  let fetches: Worker;
  let running: Promise<unknown>;
  let client: Client;
  let calls: string[] = [];
  let steps: Partial<Activities>;
  let approval: Approval;

  const pending = (change: Partial<Approval> = {}): Approval => ({
    id: 'apr_1',
    round: 1,
    state: 'pending',
    by: ['data-steward'],
    quorum: 1,
    expiresAt: '2030-01-01T00:00:00.000Z',
    dueInMs: 3_600_000,
    ...change,
  });

  /** What the steps do unless a test says otherwise: the tokens `yes` and `no` are decisions, others are none. */
  const usual: Partial<Activities> = {
    ingest: async () => ({ received: 1, inputComplete: true }),
    validate: async () => ({ read: 1 }),
    transform: async () => ({ passed: 1, emitted: 1 }),
    async gate({ after }) {
      approval = pending({ round: after + 1 });
      return approval;
    },
    async decide({ token }) {
      if (token === 'yes') approval = { ...approval, state: 'approved', dueInMs: 0 };
      else if (token === 'no') approval = { ...approval, state: 'rejected', dueInMs: 0 };
      else return { counted: 'DecisionInvalid', approval };
      return { counted: true, approval };
    },
    processApprovalTimers: async () => approval,
    publish: async () => ({ outcome: 'published', counts: { stored: 1 } }),
    store: async () => ({ stored: 1 }),
    enrich: async () => ({}) as never,
    finalize: async ({ state, reason }) => ({ state, counts: zeroCounts, ...(reason && { reason }) }),
  };

  before(async () => {
    ({ env } = await startTemporalForTest());
    client = new Client({ connection: env.connection });
    await env.connection.operatorService.addSearchAttributes({
      namespace: 'default',
      searchAttributes: Object.fromEntries(searchAttributeNames.map((name) => [name, keyword])),
    });
    const logger = new DefaultLogger('ERROR');
    workflowBundle = await bundleWorkflowCode({
      workflowsPath,
      workflowInterceptorModules,
      payloadConverterPath,
      logger,
    });
    const names = Object.keys(usual) as (keyof Activities)[];
    worker = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: 'gates',
      workflowBundle,
      activities: Object.fromEntries(
        names.map((name) => [
          name,
          async (argument: never) => {
            calls.push(name);
            return (steps[name] ?? usual[name]!)(argument);
          },
        ]),
      ),
    });
    fetches = await Worker.create({
      connection: env.nativeConnection,
      taskQueue: fetchQueueOf('gates'),
      activities: { fetch: async () => {} },
    });
    running = Promise.all([worker.run(), fetches.run()]);
  });
  after(async () => {
    worker?.shutdown();
    fetches?.shutdown();
    await running;
    await env?.teardown();
  });
  beforeEach(() => {
    calls = [];
    steps = {};
  });

  async function begin(
    gate: RunInput['gate'] | null = 'publish',
    quick = false,
    more: Partial<RunInput> = {},
    taskQueue = 'gates',
  ): Promise<WorkflowHandle> {
    const runId = `payouts-${randomUUID()}`;
    const input: RunInput = {
      runId,
      pipeline: 'payouts',
      version: 1,
      pulled: false,
      useLocalActivities: quick,
      concurrency: 1,
      deadlineMs: 60_000,
      ...(gate && { gate }),
      ...more,
    };
    return client.workflow.start('runPipeline', {
      workflowId: runId,
      taskQueue,
      // A local step that lasts longer lets its run receive messages while it lasts.
      ...(quick && { workflowTaskTimeout: '1s' }),
      args: [input],
      typedSearchAttributes: searchAttributesOf({ tenant: 'acme', principal: 'prn_1', pipeline: 'payouts' }),
    });
  }
  const failureTypeOf = (handle: WorkflowHandle) =>
    handle.result().then(
      () => 'completed',
      ({ cause }: { cause?: ApplicationFailure }) => cause?.type,
    );
  const message = (token: string): DecisionMessage => ({ token, comment: null, form: null });
  const send = (handle: WorkflowHandle, token: string) =>
    handle.executeUpdate(decide, { args: [message(token)] });
  const codeOf = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (failed: unknown) => failed,
    );
    assert.ok(error instanceof WorkflowUpdateFailedError, String(error));
    return (error.cause as { type?: string }).type;
  };
  const waiting = () => until('it waits', () => calls.includes('gate'));

  it('says to each who decides what came of it, and publishes once it is approved', async () => {
    const handle = await begin();
    await waiting();
    assert.equal(await codeOf(send(handle, 'forged')), 'DecisionInvalid');
    assert.equal(calls.includes('publish'), false);
    assert.deepEqual(await send(handle, 'yes'), { counted: true, state: 'approved' });
    assert.equal(((await handle.result()) as { state: string }).state, 'completed');
    assert.deepEqual(calls, [
      'ingest',
      'validate',
      'transform',
      'gate',
      'decide',
      'decide',
      'publish',
      'finalize',
    ]);
  });

  it('publishes without one where all rows become visible at the end, and empties a table without any', async () => {
    for (const [received, atEnd, publishes] of [
      [1, 'replace', true],
      [1, 'append', true],
      [0, 'replace', true],
      [0, 'append', false],
    ] as const) {
      calls = [];
      steps = { ingest: async () => ({ received, inputComplete: true }) };
      await (await begin(null, false, { atEnd })).result();
      const moved = received > 0 ? ['validate', 'transform'] : [];
      assert.deepEqual(calls, ['ingest', ...moved, ...(publishes ? ['publish'] : []), 'finalize']);
    }
  });

  it('takes no step again that its worker took ahead, and the others itself', async () => {
    const { validate, transform } = { validate: { read: 1 }, transform: { passed: 1, emitted: 1 } };
    const finalize = { state: 'completed', counts: { ...zeroCounts, stored: 1 } };
    const ahead = { validate, transform, store: { stored: 1 }, finalize };
    const whole = { received: 1, inputComplete: true };
    const asked: unknown[] = [];
    const taken = (
      results: object,
      failed?: { step: 'store' | 'validate'; code: string; message: string },
    ) => {
      calls = [];
      steps = {
        async ingest(page) {
          asked.push(page);
          return { ...whole, ahead: { results, ...(failed && { failed }) } };
        },
      };
    };
    taken(ahead);
    const handle = await begin(null, true);
    assert.deepEqual(await handle.result(), finalize);
    assert.deepEqual(calls, ['ingest']);
    assert.deepEqual(
      [...asked],
      [
        {
          after: 0,
          ahead: [
            ['validate', { seq: 0 }],
            ['transform', { seq: 0 }],
            ['store', { seq: 0 }],
            ['finalize', { state: 'completed' }],
          ],
        },
      ],
    );
    await Worker.runReplayHistory({ workflowBundle }, await handle.fetchHistory(), handle.workflowId);

    taken({ validate });
    await (await begin(null, true)).result();
    assert.deepEqual(calls, ['ingest', 'transform', 'store', 'finalize']);

    const rejected = { step: 'store', code: 'SinkRejected', message: 'No.' } as const;
    taken({ validate, transform }, rejected);
    assert.equal(await failureTypeOf(await begin(null, true)), 'SinkRejected');
    assert.deepEqual(calls, ['ingest', 'finalize']);

    calls = [];
    asked.length = 0;
    steps = {
      async ingest(page) {
        asked.push(page);
        return whole;
      },
    };
    await (await begin(null, true, { enriches: true })).result();
    assert.deepEqual(calls, ['ingest', 'validate', 'enrich', 'transform', 'store', 'finalize']);
    assert.deepEqual([...asked], [{ after: 0, ahead: [] }]);

    taken({ validate, transform, finalize });
    const gated = await begin('publish', true);
    await waiting();
    await send(gated, 'no');
    assert.equal(((await gated.result()) as { state: string }).state, 'cancelled');
    assert.deepEqual(calls, ['ingest', 'gate', 'decide', 'finalize']);
    assert.deepEqual(
      (asked.at(-1) as { ahead: unknown[][] }).ahead.map(([step]) => step),
      ['validate', 'transform'],
    );
  });

  it('asks before it reads its first byte, where that is its gate; refused, it is cancelled', async () => {
    const handle = await begin('ingest');
    await waiting();
    assert.deepEqual(calls, ['gate']);
    await send(handle, 'no');
    assert.deepEqual(await handle.result(), { state: 'cancelled', counts: zeroCounts });
    assert.deepEqual(calls, ['gate', 'decide', 'finalize']);
  });

  it('asks what time has brought when it is due, and ends where it has brought the end', async () => {
    let lapses = 0;
    steps = {
      async gate() {
        approval = pending({ dueInMs: 50 });
        return approval;
      },
      async processApprovalTimers() {
        approval = ++lapses < 3 ? pending({ dueInMs: 50 }) : pending({ state: 'expired', dueInMs: 0 });
        return approval;
      },
    };
    const handle = await begin();
    assert.deepEqual(await handle.result(), { state: 'cancelled', counts: zeroCounts });
    assert.equal(lapses, 3);
    assert.equal(calls.includes('publish'), false);
  });

  it('requests approval again when the approved data has changed', async () => {
    const outcomes = ['stale', 'published'] as const;
    let published = 0;
    const rounds: number[] = [];
    steps = {
      async gate({ after }) {
        rounds.push(after);
        return usual.gate!({ after });
      },
      publish: async () =>
        outcomes[published++] === 'stale' ? { outcome: 'stale' } : { outcome: 'published', counts: {} },
    };
    const handle = await begin();
    await waiting();
    await send(handle, 'yes');
    await until('it asks again', () => rounds.length === 2);
    await send(handle, 'yes');
    assert.equal(((await handle.result()) as { state: string }).state, 'completed');
    assert.deepEqual(rounds, [0, 1]);
  });

  it('takes in what can wait, and no more', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    steps = {
      async decide(sent) {
        await promise;
        return usual.decide!(sent);
      },
    };
    const handle = await begin();
    await waiting();
    await handle.signal('decide', message('forged'));
    await until('it is decided', () => calls.includes('decide'));
    // One is being looked at; a hundred may wait, whichever way they came, and those beyond are dropped.
    await Promise.all(Array.from({ length: 105 }, () => handle.signal('decide', message('forged'))));
    assert.equal(await codeOf(send(handle, 'yes')), 'TooManyRequests');
    resolve();
    await until('all are decided', () => calls.filter((name) => name === 'decide').length === 101);
    await send(handle, 'yes');
    await handle.result();
  });

  it('has signals that cannot be decisions recorded, and no more than some in a minute', async () => {
    const sent: unknown[] = [];
    steps = {
      async decide(message) {
        sent.push(message);
        return usual.decide!(message);
      },
    };
    const handle = await begin();
    await waiting();
    const large = message('x'.repeat(20_000));
    for (let i = 0; i < 5; i++)
      for (const junk of [null, { token: 7 }, large]) await handle.signal('decide', junk);
    assert.deepEqual(await send(handle, 'yes'), { counted: true, state: 'approved' });
    assert.deepEqual(sent, [...Array.from({ length: 10 }, () => ({})), message('yes')]);
    await handle.result();
    await Worker.runReplayHistory({ workflowBundle }, await handle.fetchHistory(), handle.workflowId);
  });

  it('goes on, whatever bytes a client signals to it', async () => {
    const handle = await begin();
    await waiting();
    const unreadable = [
      { metadata: { encoding: Buffer.from('nonsense') }, data: Buffer.from('x') },
      { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{"token":') },
      { data: Buffer.from('x') },
    ];
    for (const payload of unreadable)
      for (const signalName of ['decide', 'recheckAuthorization'])
        await client.workflowService.signalWorkflowExecution({
          namespace: 'default',
          workflowExecution: { workflowId: handle.workflowId },
          signalName,
          input: { payloads: [payload] },
        });
    assert.deepEqual(await send(handle, 'yes'), { counted: true, state: 'approved' });
    assert.equal(calls.filter((name) => name === 'decide').length, unreadable.length + 1);
    await handle.result();
  });

  it('fails instead of blocking when a client completes a step with an unreadable result', async () => {
    const { promise, resolve } = Promise.withResolvers<{ received: number; inputComplete: boolean }>();
    for (const encoding of ['binary/null', 'nonsense']) {
      calls = [];
      steps = { ingest: () => promise };
      const handle = await begin();
      await until('it goes on', () => calls.includes('ingest'));
      const { raw } = await handle.describe();
      await client.workflowService.respondActivityTaskCompletedById({
        namespace: 'default',
        workflowId: handle.workflowId,
        activityId: raw.pendingActivities![0]!.activityId!,
        result: { payloads: [{ metadata: { encoding: Buffer.from(encoding) } }] },
      });
      await assert.rejects(handle.result());
      assert.equal(calls.at(-1), 'finalize');
    }
    resolve({ received: 0, inputComplete: true });
  });

  it('fails at once when a step returns a result that contradicts the record', async () => {
    const impossible: [string, Partial<Activities>, Partial<RunInput>?][] = [
      ['batches that go back', { ingest: async () => ({ received: -1, inputComplete: true }) }],
      ['half a batch', { ingest: async () => ({ received: 1.5, inputComplete: true }) }],
      ['no number', { ingest: async () => ({ received: '9' as never, inputComplete: true }) }],
      ['no answer', { ingest: async () => ({ received: 1, inputComplete: undefined as never }) }],
      [
        'a source read to its end, and more to come',
        { ingest: async () => ({ received: 0, inputComplete: false }) },
        { pulled: true },
      ],
      [
        'an approval that is not on record',
        { processApprovalTimers: async () => null, gate: async () => pending({ dueInMs: 0 }) },
      ],
    ];
    for (const [what, made, input] of impossible) {
      steps = made;
      const handle = await begin('publish', false, input);
      assert.equal(await failureTypeOf(handle), 'StepResultInvalid', what);
    }
  });

  it('fails at once when ingest invents batches, as soon as one of them is not found', async () => {
    steps = {
      ingest: async () => ({ received: 1_000_000_000, inputComplete: true }),
      validate: async () => {
        throw ApplicationFailure.nonRetryable('not found', 'StepResultInvalid');
      },
    };
    const handle = await begin();
    assert.equal(await failureTypeOf(handle), 'StepResultInvalid');
    assert.ok(calls.filter((name) => name === 'validate').length <= 1);
  });

  it('rejects a decision on a run without a gate', async () => {
    const { promise, resolve } = Promise.withResolvers<{ received: number; inputComplete: boolean }>();
    steps = { ingest: () => promise };
    const handle = await begin(null);
    assert.equal(await codeOf(send(handle, 'yes')), 'ApprovalNotFound');
    await handle.signal('decide', message('yes'));
    resolve({ received: 0, inputComplete: true });
    assert.equal(((await handle.result()) as { state: string }).state, 'completed');
    assert.equal(calls.includes('decide'), false);
  });

  it('goes on in a new execution once its history is long, and still waits for the same', async () => {
    const handle = await begin();
    await waiting();
    const { runId: first } = await handle.describe();
    const isLong = async () => {
      const { runId, historyLength } = await handle.describe();
      return runId !== first || historyLength > historyEventsMax;
    };
    // An event each, and nothing else.
    while (!(await isLong()))
      await Promise.all(Array.from({ length: 100 }, () => handle.signal('recheckAuthorization')));
    // Only once no message comes any more: Temporal begins no new execution before each message was handled. An update may be lost
    // where one execution ends and the next begins, and is sent again by the relay. A signal is not lost.
    await handle.signal('decide', message('forged'));
    await until('the last message is handled', () => calls.includes('decide'));
    await until('it goes on in a new execution', async () => (await handle.describe()).runId !== first);
    await until('its time is asked about', () => calls.includes('processApprovalTimers'));
    assert.deepEqual((await handle.describe()).searchAttributes.WaybillState, ['awaiting-approval']);
    assert.equal(calls.filter((name) => name === 'gate').length, 1);
    assert.deepEqual(await send(handle, 'yes'), { counted: true, state: 'approved' });
    assert.equal(((await handle.result()) as { state: string }).state, 'completed');
  });

  it('begins the records of a throttled run no faster, also where its worker ends in between', async () => {
    const taskQueue = 'throttled';
    const begun: number[] = [];
    const activities = {
      ingest: async () => ({ received: 3, inputComplete: true }),
      async validate({ seq }: { seq: number }) {
        begun.push(seq);
        return { read: 4 };
      },
      transform: async () => ({ passed: 4, emitted: 4 }),
      store: async () => ({ stored: 4 }),
      finalize: async () => ({ state: 'completed', counts: zeroCounts }),
    };
    const connection = env.nativeConnection;
    const open = () => Worker.create({ connection, taskQueue, workflowBundle, activities });
    const first = await open();
    const working = first.run();
    const handle = await begin(null, false, { concurrency: 4, recordsPerSecond: 2 }, taskQueue);
    await until('its first batch has begun', () => begun.length === 1);
    first.shutdown();
    await working;
    const state = await (await open()).runUntil(
      async () => ((await handle.result()) as { state: string }).state,
    );
    assert.equal(state, 'completed');
    assert.deepEqual(begun, [0, 1, 2]);
    const { events } = await handle.fetchHistory();
    const order = (events ?? []).flatMap((event) => {
      const name = event.activityTaskScheduledEventAttributes?.activityType?.name;
      const timer = event.timerStartedEventAttributes?.startToFireTimeout?.seconds;
      if (name === 'validate') return ['validate'];
      if (timer) return [`${timer} s`];
      return event.timerFiredEventAttributes ? ['fired'] : [];
    });
    assert.deepEqual(order, ['validate', '2 s', 'fired', 'validate', '2 s', 'fired', 'validate']);
  });

  it('ends when it is cancelled, unless all is published already', async () => {
    const handle = await begin();
    await waiting();
    await handle.cancel();
    await assert.rejects(handle.result());
    assert.deepEqual(calls.slice(-1), ['finalize']);

    calls = [];
    const late = await begin();
    steps = {
      // The record knows better than the workflow.
      finalize: async () => ({ state: 'completed', counts: { ...zeroCounts, stored: 1 } }),
    };
    await waiting();
    await late.cancel();
    assert.equal(((await late.result()) as { state: string }).state, 'completed');
  });

  it('is cancelled, not failed, where the step under way hears of it too late and fails', async () => {
    let handle: WorkflowHandle | undefined;
    steps = {
      gate: async () => pending({ dueInMs: 1 }),
      async processApprovalTimers() {
        await until('it is told to end', async () => handle !== undefined && (await isToldToEnd(handle)));
        throw new Error('the database does not answer');
      },
    };
    handle = await begin();
    await until('its time is asked about', () => calls.includes('processApprovalTimers'));
    await handle.cancel();
    await assert.rejects(handle.result());
    assert.equal((await handle.describe()).status.name, 'CANCELLED');
  });

  it('stays what its end says, though a decision is answered later', async () => {
    steps = {
      async decide() {
        await until('it ends', () => calls.includes('finalize'));
        return { counted: 'ApprovalEnded', approval: { ...approval, state: 'cancelled', dueInMs: 0 } };
      },
    };
    const handle = await begin();
    await waiting();
    const answer = codeOf(send(handle, 'yes'));
    await until('it is decided', () => calls.includes('decide'));
    await handle.cancel();
    assert.equal(await answer, 'ApprovalEnded');
    await assert.rejects(handle.result());
    assert.deepEqual((await handle.describe()).searchAttributes.WaybillState, ['cancelled']);
  });

  it('is cancelled at the very moment at which a near step ends', async () => {
    let gates = 0;
    steps = {
      // It is heard of the cancellation after 800 ms; the step of some run ends just then.
      gate: () => {
        const ms = 700 + 4 * gates++;
        return new Promise((resolve) => setTimeout(() => resolve(pending()), ms));
      },
    };
    const handles = await Promise.all(Array.from({ length: 80 }, () => begin('publish', true)));
    await Promise.all(handles.map((handle) => handle.cancel()));
    for (const handle of handles) {
      await assert.rejects(handle.result());
      assert.equal((await handle.describe()).status.name, 'CANCELLED');
      const { events } = await handle.fetchHistory();
      assert.equal(events!.filter((event) => event.workflowTaskFailedEventAttributes).length, 0);
    }
  });

  /** Whether an activity of the run has been asked to end. */
  async function isToldToEnd(handle: WorkflowHandle): Promise<boolean> {
    const { events } = await handle.fetchHistory();
    return (events ?? []).some((event) => event.activityTaskCancelRequestedEventAttributes);
  }
});
