import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { replaceGrantUpdate } from '../../domain/grants/grantHeader.ts';
import type { OutboxEntry } from '../../domain/ports/outbox.ts';
import { startRelay } from '../../workers/relay.ts';
import { things } from '../support/sinkManifests.ts';
import { type FakeTemporal, fakeTemporal } from './fakeTemporal.ts';

const entry: OutboxEntry = {
  id: '7',
  kind: 'start',
  runId: 'things-1',
  tenant: 'acme',
  requestedBy: { id: 'prn_1', issuer: 'https://issuer.test', subject: 'alice', kind: 'person' },
  source: { kind: 'inline' },
  manifest: things,
  grant: 'signed',
  input: { batches: 1, bytes: 10 },
  ended: false,
  backfill: false,
  decision: null,
};
const decision = { id: 'dec_1', token: 't', comment: null, form: null, settled: false };

/** Relays one entry: whether it leaves the outbox, and what the relay logs. */
async function relayed(change: Partial<OutboxEntry>, temporal: FakeTemporal) {
  const logged: unknown[] = [];
  const handed = Promise.withResolvers<boolean>();
  let found = 1;
  const relay = startRelay({
    client: temporal.client,
    taskQueue: 'waybill',
    onError: (error) => void logged.push(error),
    outbox: {
      findDue: async () => ({ entries: true, deliveries: true, schedules: true }),
      watch: () => ({ close: async () => {} }),
      enqueueStart: async () => assert.fail('the relay puts nothing into the outbox'),
      async relay(_, deliver) {
        if (found-- !== 1) return 0;
        await deliver({ ...entry, ...change }).then(
          () => handed.resolve(true),
          () => handed.resolve(false),
        );
        return 1;
      },
    },
    dueDeliveries: { relay: async () => 0 } as never,
    dueSchedules: { relay: async () => 0 } as never,
  });
  const leaves = await handed.promise;
  await relay.stop();
  return { leaves, logged };
}

describe('the relay', () => {
  const running = () => fakeTemporal({ 'things-1': { status: 'RUNNING' } });

  it('starts a run under its id, with its tenant as fairness key', async () => {
    const temporal = fakeTemporal();
    assert.deepEqual(await relayed({}, temporal), { leaves: true, logged: [] });
    const [[what, id, options]] = temporal.calls as [[string, string, Record<string, unknown>]];
    assert.deepEqual([what, id], ['start runPipeline', 'things-1']);
    assert.deepEqual(options.priority, { fairnessKey: 'acme' });
    assert.equal(options.workflowIdReusePolicy, 'REJECT_DUPLICATE');
  });

  it('gives a run the priority of its pipeline, and comes to a backfill last', async () => {
    for (const [priority, backfill, key] of [
      ['interactive', false, 2],
      ['backfill', false, 4],
      ['interactive', true, 4],
      [undefined, true, 4],
    ] as const) {
      const temporal = fakeTemporal();
      await relayed({ backfill, manifest: { ...things, ...(priority && { priority }) } }, temporal);
      const { priority: given } = temporal.calls[0]![2] as { priority: object };
      assert.deepEqual(given, { fairnessKey: 'acme', priorityKey: key }, `${priority} ${backfill}`);
    }
  });

  it('runs a small, complete input by local activities, and no other', async () => {
    for (const [input, local] of [
      [{ batches: 1, bytes: 256 * 1024 }, true],
      [{ batches: 1, bytes: 256 * 1024 + 1 }, false],
      [{ batches: 2, bytes: 10 }, false],
      [null, false],
    ] as const) {
      const temporal = fakeTemporal();
      await relayed({ input }, temporal);
      const { args } = temporal.calls[0]![2] as { args: [{ useLocalActivities: boolean }] };
      assert.equal(args[0].useLocalActivities, local, JSON.stringify(input));
    }
  });

  it('takes a run that has started already for delivered', async () => {
    const temporal = fakeTemporal();
    temporal.failure = new WorkflowExecutionAlreadyStartedError('started', 'things-1', 'runPipeline');
    assert.deepEqual(await relayed({}, temporal), { leaves: true, logged: [] });
  });

  it('keeps an entry, and logs why, while Temporal is unavailable', async () => {
    const temporal = running();
    temporal.failure = new Error('unavailable');
    for (const kind of ['start', 'cancel', 'recheckAuthorization', 'replaceGrant', 'decide'] as const) {
      const { leaves, logged } = await relayed({ kind, decision }, temporal);
      assert.equal(leaves, false, kind);
      assert.deepEqual(logged, [temporal.failure], kind);
    }
  });

  it('sends a cancellation, a recheck, a new grant and a decision to a running workflow', async () => {
    const temporal = running();
    for (const kind of ['cancel', 'recheckAuthorization', 'replaceGrant', 'decide'] as const)
      assert.deepEqual(await relayed({ kind, decision }, temporal), { leaves: true, logged: [] }, kind);
    assert.deepEqual(temporal.calls, [
      ['cancel', 'things-1'],
      ['signal', 'things-1', 'recheckAuthorization'],
      ['update', 'things-1', [replaceGrantUpdate, 'replace-grant-7']],
      ['update', 'things-1', ['decide', 'dec_1', { token: 't', comment: null, form: null }]],
    ]);
  });

  it('drops a message to a run that Temporal has lost, but keeps a cancellation until the run is started again', async () => {
    for (const kind of ['recheckAuthorization', 'replaceGrant', 'decide'] as const)
      assert.deepEqual(await relayed({ kind, decision }, fakeTemporal()), { leaves: true, logged: [] }, kind);
    assert.deepEqual(await relayed({ kind: 'cancel' }, fakeTemporal()), { leaves: false, logged: [] });
  });

  it('sends nothing for a run that has ended, nor a decision that has its answer', async () => {
    const temporal = running();
    for (const kind of ['start', 'cancel', 'recheckAuthorization', 'replaceGrant', 'decide'] as const)
      assert.equal((await relayed({ kind, decision, ended: true }, temporal)).leaves, true, kind);
    await relayed({ kind: 'decide', decision: { ...decision, settled: true } }, temporal);
    assert.deepEqual(temporal.calls, []);
  });
});
