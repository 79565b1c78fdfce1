import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { compactVerify, createLocalJWKSet } from 'jose';
import { z } from 'zod';
import { DecisionClaims } from '../../domain/approvals/decision.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { type Api, codeOf, json, startApi, tokensToDecide } from './startApi.ts';

interface Shown {
  id: string;
  run: string;
  state: string;
  digest: string;
  shown: unknown;
  decisions: Decided[];
  links: { self: string; decisions: string; sample: string | null };
}

interface Decided {
  id: string;
  decision: string;
  by: { subject: string };
  comment: string | null;
  at: string;
  counted: boolean | null;
  code: string | null;
  token?: string;
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('approvals over HTTP', () => {
  let api: Api;
  let of: Record<'alice' | 'bob' | 'erin' | 'ann' | 'dave' | 'copilot', string>;

  before(async () => {
    api = await startApi();
    const steward = { roles: ['data-steward'] };
    of = {
      ...(await tokensToDecide(api)),
      ann: await api.issuer.token({ sub: 'ann', roles: ['auditor'] }),
      dave: await api.issuer.token({ sub: 'dave', tenant: 'globex', ...steward }),
      copilot: await api.issuer.token({ act: { sub: 'copilot' } }),
    };
  });
  after(() => api?.stop());

  /** A new run that waits. */
  async function wait(changes: Parameters<Api['addApproval']>[1] = {}, as = of.alice) {
    const response = await api.call('/v1/pipelines/few/runs', { ...json({ records: [{ id: 'a' }] }), as });
    const run = (await response.json()) as { id: string; tenant: string };
    return { runId: run.id, ...(await api.addApproval(run, changes)) };
  }

  type Waiting = Awaited<ReturnType<typeof wait>>;

  const decide = (id: string, body: object, as = of.bob) =>
    api.call(`/v1/approvals/${id}/decisions`, { ...json(body), as });
  const get = async (id: string, as = of.bob) =>
    (await (await api.call(`/v1/approvals/${id}`, { as })).json()) as Shown;
  const list = async (query: string, as: string) => {
    const response = await api.call(`/v1/approvals?limit=100&${query}`, { as });
    return ((await response.json()) as { items: Shown[] }).items.map(({ id }) => id);
  };
  const decisionsOf = (id: string) =>
    api.rows<{ id: string; jws: string }>('SELECT * FROM waybill.decision WHERE approval_id = $1', [id]);

  it('show what is decided about, and its digest can be made again from that', async () => {
    const { id, runId, digest } = await wait();
    const shown = await get(id, of.alice);
    assert.deepEqual([shown.id, shown.run, shown.digest], [id, runId, digest]);
    assert.equal(sha256(canonicalJson(shown.shown)), digest);
    assert.equal(shown.links.sample, null);
    const run = await (await api.call(`/v1/runs/${runId}`, { as: of.alice })).json();
    const { state, links } = run as { state: string; links: { approval?: string } };
    assert.deepEqual([state, links.approval], ['awaiting-approval', shown.links.self]);
  });

  it('are listed as mine, as those to decide, and as decided, and for their tenant alone', async () => {
    const mine = await wait();
    const ofAgent = await wait({}, of.copilot);
    const ofErin = await wait({ by: ['data-engineer', 'data-steward'] }, of.alice);
    const ended = await wait({ state: 'rejected' });
    const all = [mine, ofAgent, ofErin, ended].map(({ id }) => id);
    const among = async (query: string, as: string) =>
      (await list(query, as)).filter((id) => all.includes(id)).map((id) => all.indexOf(id));
    assert.deepEqual(await among('', of.bob), [3, 2, 1, 0]);
    assert.deepEqual(await among('view=mine', of.alice), [3, 2, 1, 0]);
    assert.deepEqual(await among('view=mine', of.bob), []);
    assert.deepEqual(await among('view=to-decide', of.bob), [2, 1, 0]);
    assert.deepEqual(await among('view=to-decide', of.alice), []);
    assert.deepEqual(await among('view=to-decide', of.ann), []);
    assert.deepEqual(await among('view=to-decide&state=rejected', of.bob), []);
    assert.deepEqual(await among('state=rejected', of.bob), [3]);
    assert.deepEqual(await among(`run=${mine.runId}`, of.bob), [0]);
    assert.equal((await decide(mine.id, { decision: 'approve', digest: mine.digest })).status, 202);
    assert.deepEqual(await among('view=decided', of.bob), [0]);
    assert.deepEqual(await among('view=decided', of.erin), []);
    assert.deepEqual(await among('view=to-decide', of.bob), [2, 1]);
    assert.deepEqual(await among('view=to-decide', of.erin), [2, 1, 0]);
    assert.deepEqual(await list('', of.dave), []);
    const first = await api.call('/v1/approvals?limit=1', { as: of.bob });
    const { items, nextCursor } = (await first.json()) as { items: Shown[]; nextCursor: string };
    assert.deepEqual([items[0]!.id, nextCursor], [ended.id, ended.id]);
    const [next] = await list(`cursor=${nextCursor}`, of.bob);
    assert.equal(next, ofErin.id);
    assert.equal(await codeOf(await api.call('/v1/approvals?view=all', { as: of.bob })), 'InvalidRequest');
  });

  it('are in each view exactly while they belong there, however they stand', async () => {
    const votes = (who: 'bob' | 'erin', decision = 'approve') => {
      return async ({ id, digest }: Waiting) => void (await decide(id, { decision, digest }, of[who]));
    };
    const changes = (text: string) => (one: Waiting) => api.rows(`UPDATE waybill.${text} = $1`, [one.id]);
    const ends = (state: string) => changes(`approval SET state = '${state}', ended_at = now() WHERE id`);
    const counts = changes('decision SET counted = true WHERE approval_id');
    const isRefused = changes(`decision SET refused = 'Forbidden' WHERE approval_id`);
    const escalates = changes(`approval SET by = by || '"data-steward"', escalated_at = now() WHERE id`);
    type Step = (one: Waiting) => Promise<unknown>;
    /** An approval, what happens to it, who may decide, whether it still waits, who has decided. */
    const scenes: [string, Parameters<typeof wait>[0], Step[], string, boolean, string][] = [
      ['nothing yet', {}, [], 'bob erin', true, ''],
      ['a vote on its way', {}, [votes('bob')], 'erin', true, 'bob'],
      ['one of two votes', { quorum: 2 }, [votes('bob'), counts], 'erin', true, 'bob'],
      ['a vote that is refused', {}, [votes('bob'), isRefused], 'bob erin', true, 'bob'],
      ['approval', {}, [votes('bob'), counts, ends('approved')], '', false, 'bob'],
      ['rejection', {}, [votes('erin', 'reject'), counts, ends('rejected')], '', false, 'erin'],
      ['a deadline that was not processed yet', { expiresInS: -1 }, [], '', true, ''],
      ['expiry', { expiresInS: -1 }, [ends('expired')], '', false, ''],
      ['expiry after a vote', { quorum: 2 }, [votes('bob'), counts, ends('expired')], '', false, 'bob'],
      ['other data', {}, [votes('bob'), counts, ends('void')], '', false, 'bob'],
      ['the end of its run', {}, [ends('cancelled')], '', false, ''],
      ['no approver to ask', { state: 'waived' }, [], '', false, ''],
      ['others to ask', { by: ['operator'] }, [], '', true, ''],
      ['escalation', { by: ['operator'] }, [escalates], 'bob erin', true, ''],
    ];
    for (const [what, terms, steps, toDecide, waits, decided] of scenes) {
      const one = await wait(terms);
      for (const step of steps) await step(one);
      const seers = async (query: string) => {
        const found: string[] = [];
        for (const who of ['alice', 'bob', 'erin'] as const)
          if ((await list(`run=${one.runId}&${query}`, of[who])).includes(one.id)) found.push(who);
        return found.join(' ');
      };
      const views = ['view=mine', 'view=to-decide', 'view=mine&state=pending', 'view=decided'];
      assert.deepEqual(
        await Promise.all(views.map(seers)),
        ['alice', toDecide, waits ? 'alice' : '', decided],
        what,
      );
    }
  });

  it('of another tenant are not there, to look at or to decide', async () => {
    const { id, digest } = await wait();
    for (const path of [`/v1/approvals/${id}`, `/v1/approvals/${id}/sample`, '/v1/approvals/%00'])
      assert.equal(await codeOf(await api.call(path, { as: of.dave })), 'ApprovalNotFound');
    const refused = await decide(id, { decision: 'approve', digest }, of.dave);
    assert.equal(await codeOf(refused), 'ApprovalNotFound');
    assert.deepEqual(await decisionsOf(id), []);
  });

  it('reveal a sample to a caller who may see values, and each look is audited', async () => {
    const run = await wait();
    const scope = { tenant: 'acme', runId: run.runId };
    const rows = [
      { id: 'a', n: '1' },
      { id: 'b', n: null },
    ];
    const sample = { digest: await api.ports.objects.put(scope, Buffer.from(JSON.stringify(rows))), rows: 2 };
    const { id } = await api.addApproval(
      { id: (await wait({ state: 'void' })).runId, tenant: 'acme' },
      { sample: { digest: 'f'.repeat(64), rows: 1 } },
    );
    await api.rows(`UPDATE waybill.approval SET sample = $1 WHERE id = $2`, [JSON.stringify(sample), run.id]);
    const looked = await api.call(`/v1/approvals/${run.id}/sample`, { as: of.bob });
    assert.deepEqual(await looked.json(), { rows });
    assert.equal(looked.headers.get('cache-control'), 'no-store');
    const audited = await api.rows(
      `SELECT actor->>'kind' AS kind, detail->>'approval' AS approval FROM waybill.audit_event WHERE txn = $1`,
      [looked.headers.get('x-trace-id')],
    );
    assert.deepEqual(audited, [{ kind: 'person', approval: run.id }]);
    for (const as of [of.alice, of.ann])
      assert.equal(await codeOf(await api.call(`/v1/approvals/${run.id}/sample`, { as })), 'Forbidden');
    assert.equal(
      await codeOf(await api.call(`/v1/approvals/${id}/sample`, { as: of.bob })),
      'SampleNotFound',
      'its rows have gone',
    );
  });

  it('are decided by what the API signs, which the relay carries to the run', async () => {
    const { id, runId, digest } = await wait();
    const response = await decide(id, { decision: 'approve', digest, comment: 'looks “right”' });
    assert.equal(response.status, 202);
    const { token, ...decided } = (await response.json()) as Decided;
    assert.deepEqual(
      [decided.decision, decided.by.subject, decided.comment, decided.counted, decided.code],
      ['approve', 'bob', 'looks “right”', null, null],
    );
    assert.deepEqual((await get(id)).decisions, [decided]);

    const [recorded] = await decisionsOf(id);
    assert.equal(token, recorded!.jws);
    const { keys } = (await (await fetch(`${api.url}/.well-known/jwks.json`)).json()) as { keys: [] };
    const { payload, protectedHeader } = await compactVerify(recorded!.jws, createLocalJWKSet({ keys }));
    assert.deepEqual([protectedHeader.typ, protectedHeader.alg], ['decision+jwt', 'EdDSA']);
    const claims = DecisionClaims.parse(JSON.parse(Buffer.from(payload).toString()));
    const { expires_at: expiresAt } = (
      await api.rows<{ expires_at: Date }>('SELECT expires_at FROM waybill.approval WHERE id = $1', [id])
    )[0]!;
    assert.deepEqual(
      [claims.iss, claims.jti, claims.exp, claims.req.sub, claims.req.roles, claims.tctx],
      [
        'urn:waybill:test',
        decided.id,
        Math.floor(expiresAt.getTime() / 1000),
        'bob',
        ['data-steward'],
        {
          tenant: 'acme',
          namespace: 'default',
          workflowId: runId,
          approval: id,
          shownDigest: digest,
          vote: 'approve',
          detailDigest: sha256(canonicalJson({ comment: 'looks “right”', form: null })),
        },
      ],
    );
    assert.equal(claims.txn, response.headers.get('x-trace-id'));
    assert.deepEqual(
      await api.rows(
        `SELECT kind, run_id, decision_id FROM waybill.outbox WHERE decision_id IS NOT NULL AND run_id = $1`,
        [runId],
      ),
      [{ kind: 'decide', run_id: runId, decision_id: decided.id }],
    );
    const audited = await api.rows<{ detail: Record<string, unknown>; actor: { id: string } }>(
      `SELECT actor, detail FROM waybill.audit_event WHERE action = 'decision.submitted' AND run_id = $1`,
      [runId],
    );
    assert.equal(audited.length, 1);
    const { policies, policyDigest, ...detail } = audited[0]!.detail;
    assert.deepEqual(detail, { approval: id, decision: decided.id, vote: 'approve', digest });
    assert.deepEqual([policies, policyDigest], [['base/data-stewards'], api.policyDigest]);
    assert.equal(audited[0]!.actor.id, claims.sub);
  });

  it('are decided once by each; the same again is the same, also at once', async () => {
    const { id, digest } = await wait({ quorum: 2 });
    const body = { decision: 'approve', digest, comment: 'yes' };
    const answers = await Promise.all(Array.from({ length: 8 }, () => decide(id, body)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([202]));
    const ids = await Promise.all(answers.map(async (one) => ((await one.json()) as Decided).id));
    assert.equal(new Set(ids).size, 1);
    for (const other of [{ decision: 'reject' }, { comment: 'no' }, { comment: undefined }]) {
      const refused = await decide(id, { ...body, ...other });
      assert.equal(await codeOf(refused), 'ApproverHasDecided');
      const denied = await api.rows(
        `SELECT detail->>'code' AS code FROM waybill.audit_event WHERE txn = $1 AND action = 'access.denied'`,
        [refused.headers.get('x-trace-id')],
      );
      assert.deepEqual(denied, [{ code: 'ApproverHasDecided' }]);
    }
    assert.equal((await decide(id, body, of.erin)).status, 202);
    assert.equal((await decisionsOf(id)).length, 2);
    await api.rows(`UPDATE waybill.approval SET state = 'approved', ended_at = now() WHERE id = $1`, [id]);
    assert.equal(((await (await decide(id, body)).json()) as Decided).id, ids[0], 'whatever came of it');
  });

  it('are not approved, but may be rejected, where the code of the run is not deployed', async () => {
    const { id, digest } = await wait({ shown: { definitionDigest: 'e'.repeat(64) } });
    const response = await decide(id, { decision: 'approve', digest });
    assert.equal(response.status, 503);
    assert.equal(await codeOf(response), 'DefinitionUnavailable');
    assert.deepEqual(await api.rows('SELECT id FROM waybill.decision WHERE approval_id = $1', [id]), []);
    assert.equal((await decide(id, { decision: 'reject', digest, comment: 'gone' })).status, 202);
  });

  it('take one of two decisions that contradict each other', async () => {
    const { id, digest } = await wait();
    const both = await Promise.all(
      ['approve', 'reject', 'approve', 'reject'].map((decision) => decide(id, { decision, digest })),
    );
    const [recorded, ...more] = await decisionsOf(id);
    assert.equal(more.length, 0);
    for (const answer of both) {
      if (answer.status === 202) assert.equal(((await answer.json()) as Decided).id, recorded!.id);
      else assert.equal(await codeOf(answer), 'ApproverHasDecided');
    }
    assert.equal(both.filter(({ status }) => status === 202).length, 2);
  });

  it('can be decided again by an approver after a worker rejected their decision', async () => {
    const { id, digest } = await wait();
    const body = { decision: 'approve', digest };
    const first = (await (await decide(id, body)).json()) as Decided;
    await api.rows(`UPDATE waybill.decision SET counted = false, refused = 'Forbidden' WHERE id = $1`, [
      first.id,
    ]);
    const [refused] = (await get(id)).decisions;
    assert.deepEqual([refused!.counted, refused!.code], [false, 'Forbidden']);
    const second = (await (await decide(id, body)).json()) as Decided;
    assert.notEqual(second.id, first.id);
  });

  it('are not decided about something else than was shown, nor once they have ended', async () => {
    const digest = '0'.repeat(64);
    const pending = await wait();
    assert.equal(await codeOf(await decide(pending.id, { decision: 'approve', digest })), 'ApprovalChanged');
    for (const [changes, code] of [
      [{ state: 'void' }, 'ApprovalChanged'],
      [{ state: 'approved' }, 'ApprovalEnded'],
      [{ state: 'rejected' }, 'ApprovalEnded'],
      [{ state: 'expired' }, 'ApprovalEnded'],
      [{ state: 'cancelled' }, 'ApprovalEnded'],
      [{ state: 'waived' }, 'ApprovalEnded'],
      [{ expiresInS: -1 }, 'ApprovalEnded'],
    ] as const) {
      const one = await wait(changes);
      const answer = await decide(one.id, { decision: 'approve', digest: one.digest });
      assert.equal(await codeOf(answer), code, JSON.stringify(changes));
      assert.deepEqual(await decisionsOf(one.id), []);
    }
  });

  it('are not decided by the requester, nor by a principal who acts for another', async () => {
    const everything = { roles: ['data-engineer', 'data-steward', 'operator'] };
    const alice = await api.issuer.token(everything);
    const agent = await api.issuer.token({ sub: 'erin', ...everything, act: { sub: 'copilot' } });
    const service = await api.issuer.token({ sub: 'billing', kind: 'service', ...everything });
    const mine = await wait();
    const ofAgent = await wait({}, of.copilot);
    for (const [who, as, { id, digest }, code] of [
      ['the requester', alice, mine, 'ApproverIsRequester'],
      ['the human behind an agent', alice, ofAgent, 'ApproverIsRequester'],
      ['a person through an agent', agent, mine, 'ApproverNotHuman'],
      ['a service', service, mine, 'ApproverNotHuman'],
      ['an auditor', of.ann, mine, 'ApproverLacksRole'],
    ] as const) {
      const refused = await decide(id, { decision: 'approve', digest }, as);
      assert.equal(await codeOf(refused), code, who);
      const denied = await api.rows(
        `SELECT detail->>'code' AS code FROM waybill.audit_event WHERE txn = $1 AND outcome = 'denied'`,
        [refused.headers.get('x-trace-id')],
      );
      assert.deepEqual(denied, [{ code }], who);
    }
    assert.deepEqual(await decisionsOf(mine.id), []);
  });

  it('may ask for a form, which is checked as it was asked', async () => {
    const form = z.toJSONSchema(
      z.strictObject({ ticket: z.string().regex(/^T-\d+$/), risk: z.enum(['low', 'high']) }),
      { io: 'input' },
    );
    const { id, digest } = await wait({ form });
    const approve = (filled?: unknown) => decide(id, { decision: 'approve', digest, form: filled });
    for (const bad of [
      undefined,
      {},
      { ticket: 'T-1' },
      { ticket: 'x', risk: 'low' },
      { ticket: 'T-1', risk: 'low', more: 1 },
      { ticket: 'T-1\u0000', risk: 'low' },
    ])
      assert.equal(await codeOf(await approve(bad)), 'FormInvalid', JSON.stringify(bad));
    const answer = await approve({ ticket: 'T-1', risk: 'low' });
    assert.equal(answer.status, 202);
    assert.deepEqual(((await answer.json()) as { form: unknown }).form, { risk: 'low', ticket: 'T-1' });
    assert.equal(
      (await decide(id, { decision: 'reject', digest }, of.erin)).status,
      202,
      'who rejects need not',
    );
    const without = await wait();
    const unasked = { decision: 'approve', digest: without.digest, form: {} };
    assert.equal(await codeOf(await decide(without.id, unasked)), 'FormInvalid');
  });

  it('take no more than a short comment', async () => {
    const { id, digest } = await wait();
    for (const comment of ['x'.repeat(2_001), 'a\0b', '\ud800'])
      assert.equal(
        await codeOf(await decide(id, { decision: 'approve', digest, comment })),
        'InvalidRequest',
      );
    const large = { decision: 'approve', digest, form: { text: 'x'.repeat(9_000) } };
    assert.equal(await codeOf(await decide(id, large)), 'RequestTooLarge');
  });
});

describe('approvals of people with several accounts', () => {
  let api: Api;
  before(async () => {
    api = await startApi({
      // As an issuer with a configured `person`: the name before the dot is the person of the account.
      change: ({ authenticator }) => ({
        authenticator: {
          async authenticate(token) {
            const found = await authenticator.authenticate(token);
            if (found.outcome !== 'placed') return found;
            const person = `per_${found.principal.subject.split('.')[0]}`;
            return { ...found, principal: { ...found.principal, person } };
          },
        },
      }),
    });
  });
  after(() => api?.stop());

  it('come from people other than the requester, and each person counts once; grant and decision name the person', async () => {
    const steward = (sub: string) => api.issuer.token({ sub, roles: ['data-steward'] });
    const as = await api.issuer.token({ sub: 'alice' });
    const few = await api.call('/v1/pipelines/few/runs', { ...json({ records: [{ id: 'a' }] }), as });
    const run = (await few.json()) as { id: string; tenant: string; requestedBy: object };
    assert.equal('person' in run.requestedBy, false);
    const { id, digest } = await api.addApproval(run, { quorum: 2 });
    const decide = async (sub: string) =>
      api.call(`/v1/approvals/${id}/decisions`, {
        ...json({ decision: 'approve', digest }),
        as: await steward(sub),
      });
    assert.equal(await codeOf(await decide('alice.admin')), 'ApproverIsRequester');
    assert.equal((await decide('bob')).status, 202);
    assert.equal(await codeOf(await decide('bob.admin')), 'ApproverHasDecided');
    const [row] = await api.rows<{ grant_jws: string }>('SELECT grant_jws FROM waybill.run WHERE id = $1', [
      run.id,
    ]);
    assert.equal((await api.ports.grantVerifier.verify(row!.grant_jws)).claims.req.person, 'per_alice');
    const [made] = await api.rows<{ jws: string }>(
      'SELECT jws FROM waybill.decision WHERE approval_id = $1',
      [id],
    );
    const claims = JSON.parse(Buffer.from(made!.jws.split('.')[1]!, 'base64url').toString());
    assert.equal(DecisionClaims.parse(claims).req.person, 'per_bob');
  });
});
