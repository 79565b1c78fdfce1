import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { codeOf } from '../../../dev/attack/attack.ts';
import type { DecisionMessage } from '../../../domain/approvals/decision.ts';
import { principalId } from '../../../domain/principal.ts';
import type { Run } from '../../../sdk/client.ts';
import { untilItWaits } from '../../support/approveRun.ts';
import { type DevStack, startDevStack } from '../../support/devStack.ts';
import { makeProject, type TestProject } from '../../support/makeProject.ts';
import { asked, type Case, cases, expected } from './cases.ts';
import { approvalOf, claimsOf, instanceOf, type ShownApprovalRow, signerOf } from './decisions.ts';

/** More have to agree than decide here, so that the run goes on waiting. */
const pipeline = `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

export default definePipeline({
  id: 'council',
  source: inline(),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'council', key: ['id'] }),
  approval: { before: 'publish', by: ${JSON.stringify(asked)}, quorum: 16 },
});
`;

/** Of a run that has ended Temporal itself says that no workflow takes messages; the step alone is asked about those. */
const sent = cases.filter(
  ({ kind, roles, state }) =>
    state === 'changed' || (state === 'as shown' && (kind === 'person' || roles.includes('data-steward'))),
);

describe('who may decide by a message to the run', () => {
  let project: TestProject;
  let stack: DevStack;
  let database: pg.Client;
  let connection: Connection;
  let sign: Awaited<ReturnType<typeof signerOf>>;
  let instance: string;
  /** Approvals of runs that alice asked for, and her agent. */
  const approvals = {} as Record<'alice' | 'copilot', ShownApprovalRow>;

  before(async () => {
    project = await makeProject({ files: { 'pipelines/council.ts': pipeline } });
    stack = await startDevStack({ project: project.path, workers: 1 });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    connection = await Connection.connect({ address: stack.info().temporalAddress });
    [sign, instance] = await Promise.all([signerOf(stack), instanceOf(stack)]);
    for (const who of ['alice', 'copilot'] as const) {
      const call = await stack.as(who);
      const response = await call('/v1/pipelines/council/runs', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records: [{ id: who }] }),
      });
      const { id } = (await response.json()) as Run;
      await untilItWaits(call, id);
      approvals[who] = (await approvalOf(database, id))!;
    }
    const carol = await stack.as('carol');
    const revoked = principalId(stack.info().issuerUrl, 'revoked');
    await carol('/v1/revocations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind: 'principal', id: revoked }),
    });
    const [one] = sent.filter(
      ({ relation, roles }) => relation === 'revoked' && roles[0] === 'of-no-meaning',
    );
    while ((await byUpdate(one!, 'revoked')) !== 'PrincipalRevoked') await pause(250);
    const steward = sent.find(
      ({ relation, roles }) => relation === 'uninvolved' && roles[0] === 'data-steward',
    );
    assert.equal(await byUpdate(steward!, 'voted'), null);
  });
  after(async () => {
    await connection?.close();
    await database?.end();
    await stack?.stop();
    await project?.remove();
  });

  const approvalFor = ({ relation }: Case) =>
    approvals[
      relation === 'behind the agent that asked' || relation === 'the agent that asked' ? 'copilot' : 'alice'
    ];
  const handleOf = (one: Case) => new Client({ connection }).workflow.getHandle(approvalFor(one).run_id);

  /** Signed by the key of the API, which would not have signed most of it. */
  async function messageOf(one: Case, name: string) {
    const { kind, roles, relation, state } = one;
    const claims = claimsOf(stack, instance, approvalFor(one), { name, roles }, 'approve', {
      tctx: {
        ...(state === 'changed' && { shownDigest: '0'.repeat(64) }),
        ...(relation === 'of another tenant' && { tenant: 'globex' }),
      },
    });
    const through = kind === 'person through an agent';
    const token = await sign({
      ...claims,
      req: { ...claims.req, kind: through ? 'person' : kind },
      ...(through && { act: { id: 'prn_helper', iss: 'x', sub: 'helper', kind: 'agent' } }),
    });
    const args: [DecisionMessage] = [{ token, comment: null, form: null }];
    return { updateId: claims.jti, args };
  }

  async function byUpdate(one: Case, name: string): Promise<string | null> {
    const code = await codeOf(handleOf(one).executeUpdate('decide', await messageOf(one, name)));
    return code ?? null;
  }

  /** A signal hears nothing back, so what became of it is looked up where it is recorded. */
  async function bySignal(one: Case, name: string): Promise<string | null> {
    const { args } = await messageOf(one, name);
    const before = await lastEvent(one);
    await handleOf(one).signal('decide', ...args);
    for (;;) {
      const event = await lastEvent(one);
      if (event.id !== before.id) return event.code;
      await pause(10);
    }
  }

  async function lastEvent(one: Case): Promise<{ id: string; code: string | null }> {
    const { rows } = await database.query(
      `SELECT id, detail->>'code' AS code FROM waybill.audit_event
       WHERE run_id = $1 AND action IN ('decision.counted', 'decision.denied') ORDER BY id DESC LIMIT 1`,
      [approvalFor(one).run_id],
    );
    return rows[0] ?? { id: '', code: null };
  }

  function subjectOf({ relation }: Case, path: string, i: number): string {
    if (relation === 'requester' || relation === 'behind the agent that asked') return 'alice';
    if (relation === 'the agent that asked') return 'copilot';
    if (relation === 'voted before') return 'voted';
    return relation === 'revoked' ? 'revoked' : `${path}-${i}`;
  }

  for (const [path, decide] of [
    ['update', byUpdate],
    ['signal', bySignal],
  ] as const)
    it(`is the same by ${path} as everywhere`, async () => {
      const wrong: unknown[] = [];
      for (const [i, one] of sent.entries()) {
        const code = await decide(one, subjectOf(one, path, i));
        if (code !== expected(one).inTheRun) wrong.push({ ...one, code, expected: expected(one).inTheRun });
      }
      assert.deepEqual(wrong, []);
    });

  it('and nothing was let through', async () => {
    assert.ok(sent.length >= 80, `${sent.length}`);
    const { rows } = await database.query(
      `SELECT state, count(*)::integer AS n FROM waybill.approval GROUP BY 1`,
    );
    assert.deepEqual(rows, [{ state: 'pending', n: 2 }]);
    assert.equal((await database.query('SELECT FROM council')).rowCount, 0);
  });
});
