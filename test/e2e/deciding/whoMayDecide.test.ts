import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { ApprovalState } from '../../../domain/approvals/approval.ts';
import { principalId } from '../../../domain/principal.ts';
import { type Api, json, startApi } from '../../api/startApi.ts';
import { asked, type Case, cases, expected, states } from './cases.ts';
import { type DecideStep, openDecideStep } from './decideStep.ts';

/*
 * Who may decide, in every case and on every path: the API, the command line, and the step that looks at what an update or a signal
 * has brought. messages.test.ts sends such messages for real.
 */

describe('who may decide', () => {
  let api: Api;
  let cli: ChildProcess;
  let step: DecideStep;
  /** The same of a worker with pipelines that were deployed again while the runs waited. */
  let redeployed: DecideStep;
  /** Approvals by who asked for their run and by their state. */
  const approvals = new Map<string, { id: string; digest: string; run: string }>();

  before(async () => {
    api = await startApi();
    cli = fork(new URL('cliProcess.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    for (const act of [undefined, { sub: 'copilot' }]) {
      const as = await api.issuer.token({ sub: 'alice', act });
      for (const state of states) {
        const response = await api.call('/v1/pipelines/few/runs', {
          ...json({ records: [{ id: 'a' }] }),
          as,
        });
        const run = (await response.json()) as { id: string; tenant: string };
        const standing = state === 'as shown' || state === 'changed' ? 'pending' : (state as ApprovalState);
        // More than can come together, so that it still waits after any decision.
        const approval = await api.addApproval(run, { by: asked, quorum: 1_000, state: standing });
        approvals.set(`${act ? 'agent' : 'person'} ${state}`, { ...approval, run: run.id });
      }
    }
    step = await openDecideStep(api);
    redeployed = await openDecideStep(api, true);
    const operator = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
    const id = await idOf('revoked');
    await api.call('/v1/revocations', { ...json({ kind: 'principal', id }), as: operator });
    while ((await whoami('revoked')).status === 200) await pause(50);
  });
  after(async () => {
    cli?.disconnect();
    await step?.close();
    await redeployed?.close();
    await api?.stop();
  });

  const whoami = async (sub: string) => api.call('/v1/whoami', { as: await api.issuer.token({ sub }) });
  const idOf = async (sub: string) => ((await (await whoami(sub)).json()) as { id: string }).id;

  const approvalOf = ({ relation, state }: Case) => {
    const ofAgent = relation === 'behind the agent that asked' || relation === 'the agent that asked';
    return approvals.get(`${ofAgent ? 'agent' : 'person'} ${state}`)!;
  };
  const digestOf = (one: Case) => (one.state === 'changed' ? '0'.repeat(64) : approvalOf(one).digest);

  /** A new person for each case and path, unless it is about who they are. */
  function subjectOf({ relation }: Case, path: string, i: number): string {
    if (relation === 'requester' || relation === 'behind the agent that asked') return 'alice';
    if (relation === 'the agent that asked') return 'copilot';
    return relation === 'revoked' ? 'revoked' : `${path}-${i}`;
  }

  function tokenOf(one: Case, sub: string): Promise<string> {
    const { kind, roles, relation } = one;
    return api.issuer.token({
      sub,
      roles,
      tenant: relation === 'of another tenant' ? 'globex' : 'acme',
      kind: kind === 'person through an agent' ? 'person' : kind,
      ...(kind === 'person through an agent' && { act: { sub: 'helper' } }),
    });
  }

  /** A decision of theirs that is on record already, with other words. */
  async function vote(one: Case, sub: string): Promise<void> {
    if (one.relation !== 'voted before') return;
    const { id, run } = approvalOf(one);
    const principal = await idOf(sub);
    await api.rows(
      `INSERT INTO waybill.decision (id, tenant, approval_id, run_id, principal, by, vote, comment, jws, counted)
       VALUES ('dec_' || gen_random_uuid(), 'acme', $1, $2, $3, $4, 'approve', 'before', 'jws', true)`,
      [
        id,
        run,
        principal,
        JSON.stringify({ id: principal, issuer: api.issuer.url, subject: sub, kind: 'person' }),
      ],
    );
  }

  async function byApi(one: Case, sub: string): Promise<string | null> {
    const body = { decision: 'approve', digest: digestOf(one) };
    const path = `/v1/approvals/${approvalOf(one).id}/decisions`;
    const response = await api.call(path, { ...json(body), as: await tokenOf(one, sub) });
    return response.status === 202 ? null : ((await response.json()) as { code: string }).code;
  }

  async function byCli(one: Case, sub: string): Promise<string | null> {
    const args = ['approvals', 'approve', approvalOf(one).id, '--digest', digestOf(one), '--json'];
    cli.send({ args, env: { WAYBILL_API_URL: api.url, WAYBILL_TOKEN: await tokenOf(one, sub) } });
    const [{ code, exitCode }] = await once(cli, 'message');
    const stale = code === 'ApprovalChanged' || code === 'ApprovalEnded';
    assert.equal(exitCode, code === null ? 0 : stale ? 1 : 3, code);
    return code;
  }

  /**
   * What update and signal bring, by the step that looks at it: signed by the very key of the API, which would not have signed
   * most of it.
   */
  async function byMessage(one: Case, sub: string, by = step): Promise<string | null> {
    const { id, run } = approvalOf(one);
    const claims = await step.claims({
      approval: id,
      run,
      digest: digestOf(one),
      principal: principalId(api.issuer.url, sub),
    });
    const { kind, roles, relation } = one;
    claims.req = { ...claims.req, iss: api.issuer.url, sub, roles: [...roles] };
    if (relation === 'of another tenant') claims.tctx.tenant = 'globex';
    const bent = {
      ...claims,
      req: { ...claims.req, kind: kind === 'person through an agent' ? 'person' : kind },
      ...(kind === 'person through an agent' && {
        act: { id: 'prn_helper', iss: 'x', sub: 'helper', kind: 'agent' },
      }),
    };
    return by.decide(run, bent);
  }

  it('is asked in more than three hundred cases, on each path', () => {
    assert.ok(cases.length >= 300, `${cases.length}`);
    const counted = cases.filter((one) => expected(one).requestErrors === null);
    assert.ok(counted.length > 0);
  });

  for (const [path, decide, answer] of [
    ['api', byApi, 'requestErrors'],
    ['cli', byCli, 'requestErrors'],
    ['message', byMessage, 'inTheRun'],
    ['message, without the code', (one: Case, sub: string) => byMessage(one, sub, redeployed), 'inTheRun'],
  ] as const)
    it(`has one answer, by ${path}`, async () => {
      const wrong: unknown[] = [];
      for (const [i, one] of cases.entries()) {
        const sub = subjectOf(one, path, i);
        await vote(one, sub);
        const code = await decide(one, sub);
        if (code !== expected(one)[answer]) wrong.push({ ...one, code, expected: expected(one)[answer] });
      }
      assert.deepEqual(wrong, []);
    });

  it('has counted for nothing, on record, wherever the answer was no', async () => {
    const refused = cases.filter((one) => expected(one).inTheRun !== null).length;
    const recorded = await api.rows<{ action: string; n: number }>(
      `SELECT action, count(*)::integer AS n FROM waybill.audit_event WHERE action IN ('decision.counted', 'decision.denied')
       GROUP BY 1 ORDER BY 1`,
    );
    assert.deepEqual(recorded, [
      { action: 'decision.counted', n: 2 * (cases.length - refused) },
      { action: 'decision.denied', n: 2 * refused },
    ]);
    // By API and command line, where the relay would carry them on, and by message.
    const decisions = await api.rows(
      `SELECT FROM waybill.decision WHERE refused IS NULL AND comment IS NULL`,
    );
    assert.equal(decisions.length, 4 * (cases.length - refused));
  });

  it('needs no code of the pipeline, neither to reject nor to see that the form is filled in', async () => {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const run = (await response.json()) as { id: string; tenant: string };
    const form = z.toJSONSchema(z.strictObject({ ticket: z.string() }));
    const { id, digest } = await api.addApproval(run, { form, quorum: 9 });
    const decide = async (
      name: string,
      vote: 'approve' | 'reject',
      filled: Record<string, string> | null,
    ) => {
      const principal = principalId(api.issuer.url, name);
      const about = { approval: id, run: run.id, digest, principal, form: filled };
      const { req, tctx, ...claims } = await redeployed.claims(about);
      const signed = {
        ...claims,
        req: { ...req, iss: api.issuer.url, sub: name, roles: ['data-steward'] },
        tctx: { ...tctx, vote },
      };
      return redeployed.decide(run.id, signed, filled);
    };
    assert.equal(await decide('bob', 'approve', { colour: 'red' }), 'FormInvalid');
    assert.equal(await decide('bob', 'approve', null), 'FormInvalid');
    assert.equal(await decide('bob', 'approve', { ticket: 'FIN-7' }), null);
    assert.equal(await decide('erin', 'reject', null), null);
    const [{ state }] = (await api.rows('SELECT state FROM waybill.approval WHERE id = $1', [id])) as [
      { state: string },
    ];
    assert.equal(state, 'rejected');
  });
});
