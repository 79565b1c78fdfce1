import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { finalizeStep } from '../../activities/finalize.ts';
import { digestOf } from '../../activities/run.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { RunTotals } from '../../domain/ports/ledger.ts';
import { type Counts, zeroCounts } from '../../domain/runs/run.ts';
import type { RunOutcome } from '../../domain/runs/runFacts.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { grantOfRun } from '../support/keys.ts';

const source = { kind: 'http', url: 'https://feeds.example/daily' } as const;

describe('the end of a run', () => {
  /** What is recorded of a run that its workflow calls completed, and with which code the step fails. */
  async function finalize(counts: Partial<Counts>, totals: Partial<RunTotals> = {}) {
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
      stages: { listObjects: async () => [] },
      objects: { remove: async () => {} },
    } as unknown as Dependencies;
    const failure = await new MockActivityEnvironment()
      .run(() => finalizeStep(deps, { state: 'completed' }))
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

  it('is a mismatch where counts or batches are missing', async () => {
    const wrong = { state: 'failed', code: 'CountsMismatch', failure: 'CountsMismatch' };
    assert.deepEqual(await finalize({ read: 2, rejected: 1 }), { ...wrong, read: 2 });
    assert.deepEqual(await finalize({}, { stored: 0, batches: 0 }), { ...wrong, read: 0 });
    assert.deepEqual(await finalize({ read: 1, rejected: 1 }, { batches: 2 }), { ...wrong, read: 1 });
  });
});
