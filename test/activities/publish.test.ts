import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { z } from 'zod';
import { subjectBeforePublish } from '../../activities/approvalSubject.ts';
import type { Dependencies } from '../../activities/dependencies.ts';
import { publishStep } from '../../activities/publish.ts';
import { digestOf } from '../../activities/run.ts';
import type { DecisionClaims } from '../../domain/approvals/decision.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { Question } from '../../domain/policies/policy.ts';
import type { StandingApproval } from '../../domain/ports/approvals.ts';
import type { Publication } from '../../domain/ports/ledger.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import { grantOfRun } from '../support/keys.ts';

const form = { ticket: 'FIN-7' };
const found = { baseVersion: 3, changes: { added: 1, changed: 0, unchanged: 0, deduplicated: 0 } };
const parameters = {};
const grant = {
  ...grantOfRun,
  tctx: { ...grantOfRun.tctx, parametersDigest: digestOf(canonicalJson(parameters)) },
};
const { tenant, workflowId: runId, pipeline, version, definitionDigest } = grant.tctx;
const terms = { before: 'publish', by: ['data-steward'], quorum: 1, escalateTo: [] } as const;
const requester = { id: grant.sub, issuer: grant.req.iss, subject: grant.req.sub, kind: grant.req.kind };

/** Bob’s vote for the digest, as it was signed and counted. */
function voteOf(digest: string, change: Partial<DecisionClaims> = {}): DecisionClaims {
  return {
    ...grant,
    jti: 'dec_1',
    sub: 'prn_bob',
    req: { ...grant.req, sub: 'bob', kind: 'person', roles: ['data-steward'] },
    tctx: {
      tenant,
      namespace: grant.tctx.namespace,
      workflowId: runId,
      approval: 'apr_1',
      shownDigest: digest,
      vote: 'approve',
      detailDigest: digestOf(canonicalJson({ comment: null, form })),
    },
    ...change,
  };
}

describe('what was approved', () => {
  /** What becomes of it where the policy of now says that of each who approved. */
  async function publish(
    may: (question: Question) => boolean,
    change: Partial<DecisionClaims> = {},
    asked: z.ZodType = z.unknown(),
    recorded: object = form,
  ) {
    const published: Publication[] = [];
    let signed: DecisionClaims | undefined;
    let approval: StandingApproval | undefined;
    const deps = {
      grant: () => ({ claims: grant, key: 'k' }),
      decision: () => undefined,
      definitions: {
        require: () => ({
          manifest: { id: pipeline, labels: {}, source: {}, sink: { kind: 'postgres' }, approval: terms },
          approval: { form: asked },
        }),
      },
      runs: {
        find: async () => ({
          ...{
            tenant,
            runId,
            pipeline,
            version,
            definitionDigest,
            parameters,
            definition: { sink: { kind: 'postgres' } },
          },
          ...{ principal: grant.sub, requestedBy: requester, txn: grant.txn, source: { kind: 'upload' } },
        }),
      },
      destinations: { has: () => false },
      stages: { listStaged: async () => [] },
      approvals: { find: async () => approval },
      decisions: { verify: async () => ({ claims: signed, key: 'k' }) },
      policy: { decide: (question: Question) => ({ allowed: may(question), policies: [], digest: 'p' }) },
      ledger: {
        publishRun: async (publication: Publication) => {
          if (!publication.permits(found)) return { outcome: 'stale' };
          published.push(publication);
          return { outcome: 'published', counts: zeroCounts };
        },
      },
    } as unknown as Dependencies;
    const run = await deps.runs.find({ tenant, runId });
    const digest = digestOf(canonicalJson((await subjectBeforePublish(deps, run, []))(found)));
    signed = voteOf(digest, change);
    const decisions = [
      { id: 'dec_1', jws: 'signed', counted: true, vote: 'approve', comment: null, form: recorded },
    ];
    approval = { id: 'apr_1', state: 'approved', terms, digest, decisions } as unknown as StandingApproval;
    const environment = new MockActivityEnvironment();
    const { outcome } = (await environment.run(() => publishStep(deps))) as { outcome: string };
    return { outcome, published: published.length };
  }

  it('is published while those who approved still may', async () => {
    const asked: Question[] = [];
    const may = (question: Question) => asked.push(question) > 0;
    assert.deepEqual(await publish(may), { outcome: 'published', published: 1 });
    const [{ principal, action, resource }] = asked as [Question & { resource: { requestedBy?: string } }];
    assert.deepEqual([principal.id, action, resource.requestedBy], ['prn_bob', 'approve', 'prn_alice']);
  });

  it('is requested again once the policy no longer lets one of them approve', async () => {
    assert.deepEqual(await publish(() => false), { outcome: 'stale', published: 0 });
  });

  it('is requested again where a form was counted that the code of the pipeline does not take', async () => {
    const ticket = (prefix: string) =>
      z.strictObject({ ticket: z.string() }).refine((form) => form.ticket.startsWith(prefix));
    assert.deepEqual(await publish(() => true, {}, ticket('OPS-')), { outcome: 'stale', published: 0 });
    assert.deepEqual(await publish(() => true, {}, ticket('FIN-')), { outcome: 'published', published: 1 });
  });

  it('counts for nothing where the form on record is not the one that was signed', async () => {
    await assert.rejects(
      publish(() => true, {}, z.unknown(), { ticket: 'FIN-8' }),
      { code: 'ApprovalRequired' },
    );
  });

  it('does not count where the requester of the run has signed it', async () => {
    await assert.rejects(
      publish(() => true, { sub: 'prn_alice' }),
      { code: 'ApprovalRequired' },
    );
  });
});
