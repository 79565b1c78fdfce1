import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { finalizeStep } from '../../activities/finalize.ts';
import { digestOf } from '../../activities/run.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { RejectedOfRun, RunTotals } from '../../domain/ports/ledger.ts';
import type { Batch, StageOutput } from '../../domain/runs/batch.ts';
import { type Counts, zeroCounts } from '../../domain/runs/run.ts';
import type { RunOutcome } from '../../domain/runs/runFacts.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { grantOfRun } from '../support/keys.ts';

const source = { kind: 'http', url: 'https://feeds.example/daily' } as const;

/** Of two records, at positions 4 and 5. */
const batch: Batch = {
  ...{ seq: 2, digest: 'd', sizeBytes: 6, firstByte: 10, firstRecord: 4, firstLine: 5, records: 2 },
  bytes: Buffer.from('ab\ncd\n'),
};
const output = (stage: StageOutput['stage'], position: number, path: string): StageOutput => ({
  ...{ seq: 2, stage, digest: 'd', sizeBytes: 0, counts: { rejected: 1 } },
  rejections: [
    {
      ...{ position, line: position + 1, byteOffset: 10 + 3 * (position - 4), byteLength: 2 },
      ...{ code: 'Bad', path, message: 'm' },
    },
  ],
});

describe('the end of a run', () => {
  const letters: unknown[][] = [];
  /** What is recorded of a run that its workflow calls completed, and with which code the step fails. */
  async function finalize(
    counts: Partial<Counts>,
    totals: Partial<RunTotals> = {},
    asked: RunOutcome['state'] = 'completed',
  ) {
    const { tenant, workflowId: runId, pipeline, version, definitionDigest } = grantOfRun.tctx;
    const digests = {
      parametersDigest: digestOf(canonicalJson({})),
      sourceDigest: digestOf(describeSource({ runId, source })),
    };
    const claims = { ...grantOfRun, tctx: { ...grantOfRun.tctx, ...digests } };
    const { iss: issuer, sub: subject, kind } = claims.req;
    let recorded: RunOutcome | undefined;
    const deps = {
      grant: () => ({ claims, key: 'k' }),
      decision: () => undefined,
      runs: {
        find: async () => ({
          ...{ tenant, runId, pipeline, version, definitionDigest, parameters: {}, source },
          ...{
            principal: claims.sub,
            requestedBy: { id: claims.sub, issuer, subject, kind },
            txn: claims.txn,
          },
        }),
        async end(_: object, decide: (totals: RunTotals) => { outcome: RunOutcome }) {
          const known = { stored: 1, batches: 1, nothingNew: false, allowAllRejected: false };
          recorded = decide({ ...known, ...totals, counts: { ...zeroCounts, ...counts } }).outcome;
          return recorded;
        },
      },
      stages: {
        listObjects: async () => [],
        listUnkept: async () => [
          { batch, stages: [output('validate', 4, '/a'), output('transform', 5, '/b')] },
        ],
      },
      ledger: {
        async recordRejections(given: RejectedOfRun) {
          for await (const { deadLetters } of given.batches())
            letters.push(
              ...deadLetters.map((one) => [one.stage, one.path, one.raw?.toString(), one.object.offset]),
            );
        },
      },
      definitions: { find: () => undefined },
      objects: { remove: async () => {} },
    } as unknown as Dependencies;
    const failure = await new MockActivityEnvironment()
      .run(() => finalizeStep(deps, { state: asked }))
      .then(
        () => undefined,
        ({ code }: { code: string }) => code,
      );
    const { state, reason, counts: kept } = recorded!;
    return { state, code: reason?.code, failure, read: kept.read };
  }

  it('is a failure where every record was rejected, with its counts', async () => {
    assert.deepEqual(await finalize({ read: 2, rejected: 2 }), {
      ...{ state: 'failed', code: 'AllRejected', failure: 'AllRejected', read: 2 },
    });
  });

  it('is none where the definition allows that, where a record was filtered, and where there was none', async () => {
    const fine = { state: 'completed', code: undefined, failure: undefined };
    const allowed = await finalize({ read: 2, rejected: 2 }, { allowAllRejected: true });
    assert.deepEqual(allowed, { ...fine, read: 2 });
    assert.deepEqual(await finalize({ read: 2, rejected: 1, filtered: 1 }), { ...fine, read: 2 });
    assert.deepEqual(await finalize({}, { stored: 0, batches: 0, nothingNew: true }), { ...fine, read: 0 });
  });

  it('keeps rejected records of batches that are never stored where the run is cancelled, and not where it can be retried', async () => {
    for (const state of ['completed', 'failed'] as const) await finalize({ read: 1, passed: 1 }, {}, state);
    assert.deepEqual(letters, []);
    const { state } = await finalize({ read: 2, rejected: 2 }, { stored: 0 }, 'cancelled');
    assert.equal(state, 'cancelled');
    assert.deepEqual(letters, [
      ['validate', '/a', 'ab', 0],
      ['transform', '/b', 'cd', 3],
    ]);
  });

  it('is a mismatch where counts or batches are missing', async () => {
    const wrong = { state: 'failed', code: 'CountsMismatch', failure: 'CountsMismatch' };
    assert.deepEqual(await finalize({ read: 2, rejected: 1 }), { ...wrong, read: 2 });
    assert.deepEqual(await finalize({}, { stored: 0, batches: 0 }), { ...wrong, read: 0 });
    assert.deepEqual(await finalize({ read: 1, rejected: 1 }, { batches: 2 }), { ...wrong, read: 1 });
  });
});
