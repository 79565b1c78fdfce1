import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuditEvent } from '../../domain/audit.ts';
import type { OpenRun } from '../../domain/ports/runs.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import type { RunOutcome } from '../../domain/runs/runFacts.ts';
import { type ReconcileOptions, startReconciling } from '../../workers/reconcile.ts';
import { type FakeTemporal, fakeTemporal } from './fakeTemporal.ts';

const run: OpenRun = {
  tenant: 'acme',
  runId: 'things-1',
  txn: 't',
  firstExecution: 'first',
  firedBy: null,
};
const counts = { ...zeroCounts, read: 3, passed: 3, emitted: 3, stored: 3 };

/** One pass over one open run. */
async function reconciled(open: Partial<OpenRun>, temporal: FakeTemporal, recorded: RunOutcome[] = []) {
  const ended: { outcome: RunOutcome; audit: AuditEvent }[] = [];
  const audited: AuditEvent[] = [];
  const started: string[] = [];
  const removed: unknown[] = [];
  const passed = Promise.withResolvers<void>();
  const options = {
    client: temporal.client,
    openRuns: {
      list: async () => [{ ...run, ...open }],
      listWaitingFor: async () => [{ tenant: 'acme', runId: 'waiting-1' }],
      breakSilentUploads: async () => 0,
      abandonUploads: async () => 0,
    },
    outbox: { enqueueStart: async ({ runId }: OpenRun) => void started.push(runId) },
    runs: {
      async end(_: object, settle: (totals: object) => { outcome: RunOutcome; audit: AuditEvent }) {
        if (recorded[0]) return recorded[0];
        ended.push(settle({ counts, stored: 1, batches: 1, nothingNew: false }));
        return ended[0]!.outcome;
      },
    },
    audit: { append: async (event: AuditEvent) => void audited.push(event) },
    stages: { listObjects: async () => ['digest'] },
    objects: { remove: async (_: object, digests: string[]) => void removed.push(...digests) },
    definitions: { listDigests: () => ['d'] },
    dueDeliveries: { listPending: async () => [] },
    dueSchedules: { listApplied: async () => [] },
    temporalSchedules: { deleteAbandoned: async () => passed.resolve() },
    deliveries: {},
    onError: passed.reject,
  } as unknown as ReconcileOptions;
  const reconciling = startReconciling(options);
  await passed.promise.finally(reconciling.stop);
  return { ended, audited, started, removed };
}

describe('reconciling runs with Temporal', () => {
  const nothing = { ended: [], audited: [], started: [], removed: [] };

  it('leaves a running run alone', async () => {
    const temporal = fakeTemporal({ 'things-1': { status: 'RUNNING', firstExecution: 'first' } });
    assert.deepEqual(await reconciled({}, temporal), nothing);
  });

  it('starts a run again that Temporal does not know', async () => {
    assert.deepEqual(await reconciled({}, fakeTemporal()), { ...nothing, started: ['things-1'] });
  });

  it('leaves an unknown run to its firing while that runs, and starts it afterwards', async () => {
    const firedBy = 'firing-1';
    const firing = (status: string) => fakeTemporal({ [firedBy]: { status } });
    assert.deepEqual(await reconciled({ firedBy }, firing('RUNNING')), nothing);
    assert.deepEqual((await reconciled({ firedBy }, firing('FAILED'))).started, ['things-1']);
  });

  for (const status of ['TERMINATED', 'TIMED_OUT', 'FAILED', 'CANCELLED', 'COMPLETED'])
    it(`ends a run as failed, with the counts of the record, that Temporal calls ${status}`, async () => {
      const temporal = fakeTemporal({ 'things-1': { status, firstExecution: 'first' } });
      const { ended, removed, started } = await reconciled({}, temporal);
      const [{ outcome, audit }] = ended as [(typeof ended)[0]];
      assert.deepEqual(
        [outcome.state, outcome.reason?.code, outcome.counts],
        ['failed', 'RunTerminated', counts],
      );
      assert.deepEqual(
        [audit.action, audit.actor, audit.detail],
        ['run.terminated', null, { temporalStatus: status }],
      );
      assert.deepEqual([removed, started], [['digest'], []]);
    });

  it('changes nothing of a run that has recorded its own end first', async () => {
    const temporal = fakeTemporal({ 'things-1': { status: 'COMPLETED', firstExecution: 'first' } });
    const { ended } = await reconciled({}, temporal, [{ state: 'completed', counts }]);
    assert.deepEqual(ended, []);
  });

  it('audits a run that began again in another execution, and lets it run', async () => {
    const temporal = fakeTemporal({ 'things-1': { status: 'RUNNING', firstExecution: 'second' } });
    const { audited, ended } = await reconciled({}, temporal);
    assert.deepEqual(
      audited.map(({ action, actor, detail }) => [action, actor, detail]),
      [['run.restarted', null, { execution: 'second', original: 'first' }]],
    );
    assert.deepEqual(ended, []);
  });

  it('makes runs recheck that wait for a definition of this worker, also if Temporal has lost one', async () => {
    const known = { 'things-1': { status: 'RUNNING' } };
    const temporal = fakeTemporal({ ...known, 'waiting-1': { status: 'RUNNING' } });
    await reconciled({}, temporal);
    assert.deepEqual(temporal.calls, [['signal', 'waiting-1', 'recheckAuthorization']]);
    assert.deepEqual(await reconciled({}, fakeTemporal(known)), nothing);
  });
});
