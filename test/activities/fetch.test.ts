import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { fetchStep } from '../../activities/fetch.ts';
import { digestOf } from '../../activities/run.ts';
import type { AuditEvent } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { grantOfRun } from '../support/keys.ts';

const source = { kind: 'http', url: 'https://feeds.example/daily?key=s3cret' } as const;

describe('a source that is read', () => {
  /** What an attempt asks the source for, and what it puts down of the batches that it reads. */
  async function fetch(
    attempt: number,
    last: Partial<Batch> | undefined,
    version: string | null = '"1"',
    resumable = true,
  ) {
    const { tenant, workflowId: runId, pipeline, version: of, definitionDigest } = grantOfRun.tctx;
    const claims = {
      ...grantOfRun,
      tctx: {
        ...grantOfRun.tctx,
        parametersDigest: digestOf(canonicalJson({})),
        sourceDigest: digestOf(describeSource({ runId, source })),
      },
    };
    const requestedBy = {
      id: claims.sub,
      issuer: claims.req.iss,
      subject: claims.req.sub,
      kind: claims.req.kind,
    };
    const asked: object[] = [];
    const opened: object[] = [];
    const audited: AuditEvent[] = [];
    const appended: Batch[] = [];
    const deps = {
      grant: () => ({ claims, key: 'k' }),
      decision: () => undefined,
      recheck: async () => {},
      definitions: { require: () => ({ manifest: { source: { kind: 'http', format: {} }, limits: {} } }) },
      runs: {
        find: async () => ({
          ...{ tenant, runId, pipeline, version: of, definitionDigest, parameters: {}, source },
          ...{ principal: claims.sub, requestedBy, txn: claims.txn },
        }),
      },
      batches: {
        arrivals: async () => {},
        findLast: async () => last,
        append: async (_: object, batch: Batch) => void appended.push(batch),
        seal: async (_: object, _left: number, audit: AuditEvent) => void audited.push(audit),
      },
      sources: {
        isListed: () => false,
        open: async (
          source: object,
          { fromByte, version: wanted }: { fromByte?: number; version?: string },
        ) => {
          opened.push(source);
          asked.push({ fromByte, version: wanted });
          return { version, stream: [] };
        },
      },
      receiver: {
        receive: () => ({
          resumable,
          holdsData: true,
          leftBytes: 0,
          async *[Symbol.asyncIterator]() {
            yield { seq: 7 };
          },
        }),
      },
    } as unknown as Dependencies;
    // Any client that reaches Temporal may have sent it.
    const heartbeatDetails = { version: '"2"' };
    const environment = new MockActivityEnvironment({ attempt, heartbeatDetails });
    await environment.run(() => fetchStep(deps));
    return { asked: asked[0], opened, audit: audited[0], appended };
  }

  const before = { seq: 6, firstByte: 60, sizeBytes: 10 };

  it('is read on behind the last batch by a retry, in the version of that batch, whatever heartbeats say', async () => {
    const { asked, appended } = await fetch(2, { ...before, sourceVersion: '"1"' });
    assert.deepEqual(asked, { fromByte: 70, version: '"1"' });
    assert.deepEqual(appended, [{ seq: 7, sourceVersion: '"1"' }]);
  });

  it('is read from its start where the version of the last batch is unknown, and in a first attempt', async () => {
    const fromStart = { fromByte: undefined, version: undefined };
    assert.deepEqual((await fetch(2, before)).asked, fromStart);
    assert.deepEqual((await fetch(2, undefined)).asked, fromStart);
    assert.deepEqual((await fetch(1, { ...before, sourceVersion: '"1"' })).asked, fromStart);
  });

  it('is opened with its whole URL, and audited without the values of its query', async () => {
    const { opened, audit } = await fetch(1, undefined);
    assert.deepEqual(opened[0], source);
    assert.equal(audit?.action, 'source.read');
    assert.deepEqual(audit.detail.source, { ...source, url: 'https://feeds.example/daily?key=***' });
    assert.doesNotMatch(JSON.stringify(audit), /s3cret/);
  });

  it('has no version on record where its bytes were decompressed, so that a retry begins at its start', async () => {
    assert.deepEqual((await fetch(1, undefined, '"1"', false)).appended, [{ seq: 7 }]);
  });

  it('has no version on record where it says none', async () => {
    assert.deepEqual((await fetch(1, undefined, null)).appended, [{ seq: 7 }]);
  });
});
