import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { finalizeStep } from '../../activities/finalize.ts';
import { publishStep } from '../../activities/publish.ts';
import { digestOf } from '../../activities/run.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { DestinationFile } from '../../domain/ports/destinations.ts';
import type { RunTotals } from '../../domain/ports/ledger.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import type { RunOutcome } from '../../domain/runs/runFacts.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { grantOfRun } from '../support/keys.ts';

const source = { kind: 'http', url: 'https://feeds.example/daily' } as const;
const { tenant, workflowId: runId, pipeline, version, definitionDigest } = grantOfRun.tctx;
const claims = {
  ...grantOfRun,
  tctx: {
    ...grantOfRun.tctx,
    steps: ['publish', 'finalize'],
    parametersDigest: digestOf(canonicalJson({})),
    sourceDigest: digestOf(describeSource({ runId, source })),
  },
};
const { iss: issuer, sub: subject, kind } = claims.req;
const sink = { kind: 'objectFiles', table: 's3://lake/', columns: [], atEnd: 'append' };

/** A batch with so many rows, or with one rejected record. */
const staged = (seq: number, emitted: number) => ({
  batch: { seq },
  validated: { counts: { read: 1, rejected: emitted ? 0 : 1 } },
  transformed: { digest: `d${seq}`, sizeBytes: 10, counts: { passed: emitted ? 1 : 0, emitted } },
});

describe('a run that writes outside of the database', () => {
  let calls: string[] = [];
  let batches = [staged(0, 2), staged(1, 0), staged(2, 1)];
  let isPublished = false;
  let broken: string | undefined;
  const step = (name: string) => {
    calls.push(name);
    if (broken !== name) return;
    broken = undefined;
    throw new WaybillError('SinkUnavailable');
  };
  const deps = {
    grant: () => ({ claims, key: 'k' }),
    decision: () => undefined,
    recheck: async () => {},
    definitions: {
      require: () => ({ manifest: { id: pipeline, labels: {}, source: {}, sink } }),
      find: () => undefined,
    },
    runs: {
      find: async () => ({
        ...{ tenant, runId, pipeline, version, definitionDigest, parameters: {}, source },
        ...{ principal: claims.sub, requestedBy: { id: claims.sub, issuer, subject, kind }, txn: claims.txn },
        definition: { sink },
      }),
      async end(_: object, decide: (totals: RunTotals) => { outcome: RunOutcome }) {
        const stored = isPublished ? batches.length : 0;
        const totals = {
          counts: zeroCounts,
          stored,
          batches: batches.length,
          nothingNew: false,
          allowAllRejected: false,
        };
        const { outcome } = decide(totals);
        calls.push(outcome.state);
        return outcome;
      },
    },
    stages: { listStaged: async () => batches, listObjects: async () => [], listUnkept: async () => [] },
    objects: { remove: async () => {} },
    compute: { rows: async () => ({ emitted: 1, sizeBytes: 1, async *chunks() {} }), forget: async () => {} },
    destinations: {
      has: () => true,
      write: async (_: object, { seq, rows, sha256 }: DestinationFile) =>
        step(`write ${seq}: ${rows} ${sha256}`),
      complete: async (_: object, files: DestinationFile[]) =>
        step(`complete ${files.map(({ seq }) => seq)}`),
    },
    ledger: {
      isPublished: async () => isPublished,
      async publishRun() {
        step('ledger');
        isPublished = true;
        return { outcome: 'published', counts: zeroCounts };
      },
    },
  } as unknown as Dependencies;
  const publish = () => new MockActivityEnvironment().run(() => publishStep(deps));
  const finalize = (state: RunOutcome['state']) =>
    new MockActivityEnvironment().run(() => finalizeStep(deps, { state }));

  beforeEach(() => {
    calls = [];
    batches = [staged(0, 2), staged(1, 0), staged(2, 1)];
    isPublished = false;
    broken = undefined;
  });

  it('writes its files, then the ledger, then the manifest, then its end', async () => {
    await publish();
    await finalize('completed');
    assert.deepEqual(calls, ['write 0: 2 d0', 'write 2: 1 d2', 'ledger', 'complete 0,2', 'completed']);
  });

  it('goes on from any point at which it broke', async () => {
    for (broken of ['write 0: 2 d0', 'write 2: 1 d2', 'ledger'] as const) {
      await assert.rejects(publish(), { code: 'SinkUnavailable' });
      assert.equal(isPublished, false);
    }
    await publish();
    calls = [];
    await publish();
    assert.deepEqual(calls, ['ledger'], 'a zombie writes no file again');
    calls = [];
    broken = 'complete 0,2';
    await assert.rejects(finalize('completed'), { code: 'SinkUnavailable' });
    await finalize('completed');
    assert.deepEqual(calls, ['complete 0,2', 'complete 0,2', 'completed']);
  });

  it('has no manifest where the ledger has no run, and has one whatever comes after', async () => {
    await finalize('cancelled');
    assert.deepEqual(calls, ['cancelled']);
    await publish();
    calls = [];
    await finalize('cancelled');
    assert.deepEqual(calls, ['complete 0,2', 'completed']);
  });

  it('has no manifest where every record was rejected', async () => {
    batches = [staged(0, 0)];
    await publish();
    await finalize('completed');
    assert.deepEqual(calls.slice(0, 1), ['ledger']);
    assert.ok(!calls.some((call) => call.startsWith('complete ')));
  });
});
