import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { signGrant } from '../../adapters/keys/signGrant.ts';
import { raceDecisions } from '../../bench/chaos/approvals.ts';
import { gatedProject } from '../../bench/project.ts';
import { type DecisionClaims, decisionType } from '../../domain/approvals/decision.ts';
import { hasEnded, zeroCounts } from '../../domain/runs/run.ts';
import { ApprovalEventData } from '../../domain/webhooks/webhookEvent.ts';
import type { Run } from '../../sdk/client.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { serveHeldFeed } from '../support/heldFeed.ts';
import { makeKey } from '../support/keys.ts';
import { makeProject, type TestProject } from '../support/makeProject.ts';
import { until } from '../support/until.ts';
import { type Received, startReceiver, verifies } from '../support/webhookReceiver.ts';
import { approvalOf, claimsOf, instanceOf, type ShownApprovalRow, signerOf } from './deciding/decisions.ts';
import { codeOf, type Outsider, openOutsider } from './forgery/outsider.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;
type Change = Parameters<typeof claimsOf>[5];

const steward = (name: string) => ({ name, roles: ['data-steward'] });

/** What a campaign says that broke nothing. */
const isRemark = (line: string) => line.startsWith('(');

/** Asks operators, then stewards too, for as long as a test needs: its times come when a test has them come. */
const patient = (notify: string) => `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';

export default definePipeline({
  id: 'patient',
  source: inline(),
  input: z.strictObject({ id: z.string() }),
  sink: postgres({ table: 'patient', key: ['id'] }),
  approval: {
    before: 'publish',
    by: 'operator',
    within: '1h',
    remind: '30m',
    onTimeout: 'escalate',
    escalateTo: 'data-steward',
    notify: '${notify}',
  },
});
`;

describe('runs that people have to let through', () => {
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let project: TestProject;
  let stack: DevStack;
  let database: pg.Pool;
  let connection: Connection;
  let temporal: Client;
  let feed: Awaited<ReturnType<typeof serveHeldFeed>>;
  let outsider: Outsider;
  let alice: Call;
  let carol: Call;
  let bob: Call;
  let sign: Awaited<ReturnType<typeof signerOf>>;
  let issuer: string;

  before(async () => {
    feed = await serveHeldFeed();
    receiver = await startReceiver();
    const wires = await readFile(join(gatedProject, 'pipelines/wires.ts'), 'utf8');
    project = await makeProject({
      from: ['test/support/project'],
      files: { 'pipelines/wires.ts': wires, 'pipelines/patient.ts': patient(`${receiver.url}/stewards`) },
    });
    stack = await startDevStack({
      project: project.path,
      env: { WAYBILL_EGRESS_ALLOW: feed.host, WAYBILL_CALLBACK_ALLOW: receiver.host },
    });
    database = new pg.Pool({ connectionString: stack.info().databaseUrl, max: 4 });
    connection = await Connection.connect({ address: stack.info().temporalAddress });
    temporal = new Client({ connection });
    alice = await stack.as('alice');
    bob = await stack.as('bob');
    carol = await stack.as('carol');
    outsider = await openOutsider(stack);
    sign = await signerOf(stack);
    issuer = await instanceOf(stack);
  });
  after(async () => {
    await outsider?.close();
    await connection?.close();
    await database?.end();
    await stack?.stop();
    feed?.close();
    await receiver?.stop();
    await project?.remove();
  });

  const rows = async <T = Record<string, unknown>>(text: string, values: unknown[] = []) =>
    (await database.query(text, values)).rows as T[];

  const get = async (id: string) => (await (await alice(`/v1/runs/${id}`)).json()) as Run;
  const inState = (id: string, state: Run['state'], code?: string) =>
    until(`${id} ${state} ${code ?? ''}`, async () => {
      const run = await get(id);
      if (hasEnded(run.state)) assert.equal(run.state, state, JSON.stringify(run));
      return run.state === state && (code === undefined || run.reason?.code === code) && run;
    });
  const asked = (id: string, round = 1) =>
    until(`${id} is asked about`, async () => {
      const approval = await approvalOf(database, id);
      return approval?.round === round && approval;
    });
  const audited = async (id: string, pattern = '%') =>
    (
      await rows<{ action: string; code: string | null }>(
        `SELECT action, detail->>'code' AS code FROM waybill.audit_event WHERE run_id = $1 AND action LIKE $2 ORDER BY id`,
        [id, pattern],
      )
    ).map(({ action, code }) => (code ? `${action} ${code}` : action));

  let names = 0;
  const fresh = () => `p${++names}`;

  /** A run of alice’s with so many payouts; `lines` come besides. */
  async function pay(name: string, count: number, lines: string[] = [], query = ''): Promise<string> {
    const payouts = Array.from({ length: count }, (_, i) => `{"account":"${name}-${i}","cents":${i + 1}}`);
    const response = await alice(`/v1/pipelines/payouts/runs${query}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: [...payouts, ...lines].join('\n'),
    });
    assert.equal(response.status, 202);
    return ((await response.json()) as Run).id;
  }
  const paid = async (name: string) =>
    (
      await rows<{ n: number }>('SELECT count(*)::integer AS n FROM payouts WHERE account LIKE $1', [
        `${name}-%`,
      ])
    )[0]!.n;

  async function decisionOf(
    approval: ShownApprovalRow,
    who: { name: string; roles: string[] },
    vote: 'approve' | 'reject' = 'approve',
    change?: Change,
  ): Promise<{ claims: DecisionClaims; token: string }> {
    const claims = claimsOf(stack, issuer, approval, who, vote, change);
    return { claims, token: await sign(claims) };
  }
  const update = (id: string, token: string, updateId?: string) =>
    temporal.workflow.getHandle(id).executeUpdate('decide', {
      args: [{ token, comment: null, form: null }],
      ...(updateId && { updateId }),
    }) as Promise<{ counted: boolean; state: string }>;

  it('wait with all rows prepared and none to be seen; approved, all are there at once', async () => {
    const name = fresh();
    const id = await pay(name, 25, [`{"account":"${name}-x","cents":-1}`, '{"account":""}']);
    const approval = await asked(id);
    assert.equal((await get(id)).state, 'awaiting-approval');
    assert.equal(await paid(name), 0);
    assert.deepEqual(approval.shown.changes, { added: 25, changed: 0, unchanged: 0, deduplicated: 0 });
    assert.deepEqual(approval.shown.rejectedByCode, { Negative: 1, SchemaMismatch: 1 });
    const handle = temporal.workflow.getHandle(id);
    await until('it says so in Temporal, and holds nothing', async () => {
      const { raw, searchAttributes } = await handle.describe();
      const [state] = searchAttributes.WaybillState ?? [];
      return state === 'awaiting-approval' && (raw.pendingActivities ?? []).length === 0;
    });
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.match(currentDetails, /awaiting-approval[\s\S]*one person of: data-steward, until 20/);

    const { token } = await decisionOf(approval, steward('bob'));
    assert.deepEqual(await update(id, token), { counted: true, state: 'approved' });
    const run = await inState(id, 'completed');
    assert.equal(run.counts.stored, 25);
    assert.equal(await paid(name), 25);
    assert.deepEqual(
      (await audited(id)).filter((action) => !action.startsWith('batch.')),
      [
        'run.accepted',
        'run.started',
        'dead-letter.recorded',
        'approval.requested',
        'decision.counted',
        'approval.approved',
        'run.published',
        'run.completed',
      ],
    );
  });

  /** As a person does it, through the API. */
  async function vote(call: Call, approval: ShownApprovalRow, decision = 'approve'): Promise<number> {
    const response = await call(`/v1/approvals/${approval.id}/decisions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ decision, digest: approval.digest }),
    });
    return response.status;
  }
  /** How the approval of a run stands in each view of an inbox that it is in. */
  async function inbox(call: Call, run: string) {
    const holds = async (view: string) => {
      const response = await call(`/v1/approvals?view=${view}&run=${run}`);
      return ((await response.json()) as { items: { state: string }[] }).items.map(({ state }) => state);
    };
    return {
      'to-decide': await holds('to-decide'),
      mine: await holds('mine'),
      decided: await holds('decided'),
    };
  }
  const objectsOf = async (id: string) =>
    (await readdir(join(stack.home, 'objects'), { recursive: true })).filter((path) =>
      path.includes(`${id}.`),
    ).length;

  it('rejected, they are cancelled, and what was staged is dropped', async () => {
    const name = fresh();
    const id = await pay(name, 12);
    const approval = await asked(id);
    assert.ok((await objectsOf(id)) > 0, 'the rows are kept while they wait');
    assert.equal(await vote(bob, approval, 'reject'), 202);
    await inState(id, 'cancelled', 'ApprovalRejected');
    assert.equal(await paid(name), 0);
    assert.deepEqual(await inbox(bob, id), { 'to-decide': [], mine: [], decided: ['rejected'] });
    assert.deepEqual(await inbox(await stack.as('erin'), id), { 'to-decide': [], mine: [], decided: [] });
    assert.deepEqual(await inbox(alice, id), { 'to-decide': [], mine: ['rejected'], decided: [] });
    assert.deepEqual(await temporal.workflow.getHandle(id).result(), {
      state: 'cancelled',
      counts: { ...zeroCounts, read: 12, passed: 12 },
    });
    // The two batches as they were received are small, and so in the database.
    assert.equal(await objectsOf(id), 0);
  });

  describe('that are not decided in time', () => {
    let taken: string;
    let left: string;

    before(async () => {
      // The first event to the stewards is not taken at once.
      const answers = [500, 410];
      receiver.answerBy((response, got) => {
        const first = got.path === '/stewards' && typeOf(got) === 'approval.requested';
        response.writeHead(first ? (answers.shift() ?? 204) : 204).end();
      });
      taken = await begin('patient');
      left = await begin('hasty');
    });

    async function begin(pipeline: string): Promise<string> {
      const callback = { url: `${receiver.url}/callback` };
      const response = await alice(`/v1/pipelines/${pipeline}/runs`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ records: [{ id: `secret-${pipeline}` }], callback }),
      });
      assert.equal(response.status, 202);
      return ((await response.json()) as Run).id;
    }
    const typeOf = ({ body }: Received) => JSON.parse(body).type as string;
    /** As if its time had come. A message that says nothing makes the run look. */
    async function comes(time: 'remind_at' | 'expires_at'): Promise<void> {
      await rows(`UPDATE waybill.approval SET ${time} = now() WHERE run_id = $1`, [taken]);
      await temporal.workflow.getHandle(taken).signal('decide', { token: '', comment: null, form: null });
    }
    const heard = (path: string, run: string, type: string) =>
      until(`${path} is told ${type} of ${run}`, async () =>
        receiver.received.find(
          (got) => got.path === path && got.body.includes(`"${run}"`) && typeOf(got) === type,
        ),
      );

    it('remind, and ask others, who could not decide before', async () => {
      const approval = await asked(taken);
      const { token } = await decisionOf(approval, steward('bob'));
      assert.equal(await codeOf(update(taken, token)), 'ApproverLacksRole');
      assert.equal(await vote(bob, approval), 403);
      assert.deepEqual(await inbox(bob, taken), { 'to-decide': [], mine: [], decided: ['pending'] });
      await comes('remind_at');
      await until('it reminds', async () => (await audited(taken)).includes('approval.reminded'));
      await comes('expires_at');
      await until('it escalates', async () => (await audited(taken)).includes('approval.escalated'));
      assert.deepEqual(await inbox(bob, taken), { 'to-decide': ['pending'], mine: [], decided: ['pending'] });
      assert.equal(await vote(bob, (await approvalOf(database, taken))!), 202);
      await inState(taken, 'completed');
      assert.deepEqual(await inbox(bob, taken), { 'to-decide': [], mine: [], decided: ['approved'] });
      assert.deepEqual(await audited(taken, 'approval.%'), [
        'approval.requested',
        'approval.reminded',
        'approval.escalated',
        'approval.approved',
      ]);
    });

    it('expire then: time never approves', async () => {
      await inState(left, 'cancelled', 'ApprovalExpired');
      // How often an approver was reminded is a matter of how busy this machine is.
      assert.deepEqual(
        (await audited(left, 'approval.%')).filter((action) => action !== 'approval.reminded'),
        ['approval.requested', 'approval.escalated', 'approval.expired'],
      );
      assert.deepEqual(await rows('SELECT id FROM hasty WHERE _run = $1', [left]), []);
      assert.deepEqual(await inbox(bob, left), { 'to-decide': [], mine: [], decided: [] });
      assert.deepEqual(await inbox(alice, left), { 'to-decide': [], mine: ['expired'], decided: [] });
      const { data } = JSON.parse((await heard('/callback', left, 'approval.ended')).body);
      assert.equal(data.state, 'expired');
    });

    it('tell the URLs of their pipeline and of the run: signed, with a link and nothing to decide by', async () => {
      const whpksOf = async (tenant: string) => {
        const response = await fetch(`${stack.info().apiUrl}/.well-known/webhook-keys/${tenant}`);
        return ((await response.json()) as { keys: { whpk: string }[] }).keys.map(({ whpk }) => whpk);
      };
      const [ours, theirs] = [await whpksOf('acme'), await whpksOf('globex')];
      const { id, digest } = (await approvalOf(database, taken))!;
      const told: unknown[] = [];
      for (const path of ['/stewards', '/callback']) {
        for (const what of ['requested', 'reminded', 'escalated', 'ended']) {
          const got = await heard(path, taken, `approval.${what}`);
          assert.equal(verifies(got, ours), true);
          assert.equal(verifies(got, theirs), false);
          for (const secret of ['eyJ', digest, 'secret-patient', 'authorization', 'cookie'])
            assert.equal(JSON.stringify([got.headers, got.body]).includes(secret), false, secret);
          const { links, ...data } = ApprovalEventData.strict().parse(JSON.parse(got.body).data);
          assert.equal(links.self, `${stack.info().apiUrl}/v1/runs/${taken}`);
          assert.deepEqual([data.approval, data.run, data.quorum], [id, taken, 1]);
          told.push([what, data.state, data.by.join()]);
        }
        assert.deepEqual(told.splice(0), [
          ['requested', 'pending', 'operator'],
          ['reminded', 'pending', 'operator'],
          ['escalated', 'pending', 'operator,data-steward'],
          ['ended', 'approved', 'operator,data-steward'],
        ]);
      }
      const self = new URL(`/v1/runs/${taken}`, stack.info().apiUrl);
      assert.equal((await fetch(self)).status, 401, 'a link is no key');
    });

    it('send again what a receiver did not take, and once more on request after it was given up', async () => {
      const deliveries = async (state: string) => {
        const response = await alice(`/v1/deliveries?run=${taken}&state=${state}`);
        return ((await response.json()) as { items: { id: string; type: string; attempts: number }[] }).items;
      };
      const dead = await until('it is given up', async () => (await deliveries('dead-lettered'))[0]);
      assert.deepEqual([dead.type, dead.attempts], ['approval.requested', 2]);
      assert.equal((await alice(`/v1/deliveries/${dead.id}/redeliver`, { method: 'POST' })).status, 202);
      // Two receivers of four events, and the end of the run.
      await until('all is taken', async () => (await deliveries('delivered')).length === 9);
      const attempts = receiver.received.filter(({ headers }) => headers['webhook-id'] === dead.id);
      assert.equal(attempts.length, 3);
      assert.equal(new Set(attempts.map(({ body }) => body)).size, 1);
      assert.deepEqual(
        receiver.received.filter(({ path, body }) => path === '/stewards' && !body.includes(`"${taken}"`)),
        [],
      );
    });
  });

  it('ask for approval again where the table has changed, and no earlier vote counts', async () => {
    const name = fresh();
    const [late, early] = [await pay(name, 10), await pay(name, 5)];
    const first = await asked(late);
    assert.equal(await vote(bob, await asked(early)), 202);
    await inState(early, 'completed');
    assert.equal(await vote(bob, first), 202);
    const second = await asked(late, 2);
    assert.notEqual(second.digest, first.digest);
    // The other run is the later one, and what it wrote stays.
    assert.deepEqual(second.shown.changes, { added: 5, changed: 0, unchanged: 0, deduplicated: 5 });
    assert.equal((await get(late)).state, 'awaiting-approval');
    assert.equal(await paid(name), 5);
    const { token } = await decisionOf(first, steward('erin'));
    assert.equal(await codeOf(update(late, token)), 'ApprovalChanged');
    assert.equal(await vote(bob, second), 202);
    const { counts } = await inState(late, 'completed');
    assert.deepEqual([counts.stored, counts.deduplicated, await paid(name)], [5, 5, 10]);
    assert.deepEqual(await audited(late, 'approval.%'), [
      'approval.requested',
      'approval.approved',
      'approval.voided',
      'approval.requested',
      'approval.approved',
    ]);
  });

  it('do not wait where their pipeline says so, unless an agent asks', async () => {
    const name = fresh();
    const small = await pay(name, 3, [], '?routine=true');
    assert.equal((await inState(small, 'completed')).counts.stored, 3);
    assert.deepEqual(await audited(small, 'approval.%'), ['approval.waived']);
    const large = await pay(fresh(), 11, [], '?routine=true');
    await asked(large);
    assert.equal((await get(large)).state, 'awaiting-approval');
    const copilot = await stack.as('copilot');
    const response = await copilot('/v1/pipelines/payouts/runs?routine=true', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: `{"account":"${fresh()}-0","cents":1}`,
    });
    const { id } = (await response.json()) as Run;
    assert.equal(response.status, 202);
    const approval = await asked(id);
    assert.equal(approval.state, 'pending');
    for (const who of [alice, copilot]) assert.equal(await vote(who, approval), 403);
    for (const who of ['alice', 'copilot']) {
      const { token } = await decisionOf(approval, steward(who));
      const code = who === 'alice' ? 'ApproverIsRequester' : undefined;
      if (code) assert.equal(await codeOf(update(id, token)), code);
    }
    assert.equal(await vote(bob, approval), 202);
    await inState(id, 'completed');
  });

  it('believe no message that is not signed for them: by update or signal, whatever it says', async () => {
    const name = fresh();
    const [id, other] = [await pay(name, 2), await pay(fresh(), 2)];
    const approval = await asked(id);
    const stranger = await makeKey();
    const { claims, token } = await decisionOf(approval, steward('bob'));
    const [{ grant }] = (await rows('SELECT grant_jws AS grant FROM waybill.run WHERE id = $1', [id])) as [
      { grant: string },
    ];
    const changed = async (change: Change) =>
      (await decisionOf(approval, steward('bob'), 'approve', change)).token;
    const forged: [string, string][] = [
      ['DecisionInvalid', ''],
      ['DecisionInvalid', `${token.slice(0, -8)}AAAAAAAA`],
      ['DecisionInvalid', grant],
      ['DecisionInvalid', await sign(claims, 'grant+jwt')],
      [
        'DecisionInvalid',
        await signGrant(claims, { kid: stranger.kid, key: stranger.privateKey }, decisionType),
      ],
      ['DecisionInvalid', await changed({ iss: 'urn:waybill:another' })],
      ['DecisionInvalid', await changed({ exp: claims.iat - 1 })],
      ['DecisionInvalid', await sign({ ...claims, act: { id: 'prn_x' } })],
      ['DecisionMismatch', await changed({ tctx: { tenant: 'globex' } })],
      ['DecisionMismatch', await changed({ tctx: { namespace: 'other' } })],
      ['DecisionMismatch', await changed({ tctx: { workflowId: other } })],
      ['DecisionMismatch', await changed({ tctx: { approval: (await asked(other)).id } })],
      ['DecisionMismatch', await changed({ tctx: { detailDigest: '0'.repeat(64) } })],
      ['DecisionMismatch', (await decisionOf(await asked(other), steward('bob'))).token],
      ['ApprovalChanged', await changed({ tctx: { shownDigest: '0'.repeat(64) } })],
      ['ApproverLacksRole', (await decisionOf(approval, { name: 'bob', roles: [] })).token],
    ];
    for (const [code, forgery] of forged) {
      assert.equal(await codeOf(update(id, forgery)), code);
      await temporal.workflow.getHandle(id).signal('decide', { token: forgery, comment: null, form: null });
    }
    await assert.rejects(temporal.workflow.getHandle(id).executeUpdate('decide', { args: [{ token: 1 }] }));
    const large = { token, comment: 'x'.repeat(17_000), form: null };
    await assert.rejects(temporal.workflow.getHandle(id).executeUpdate('decide', { args: [large] }));
    const junk = [undefined, null, 7, 'approve', { vote: 'approve' }, { token: 1 }, large];
    for (const one of junk) await temporal.workflow.getHandle(id).signal('decide', one);
    // What verifies is recorded as the decision that it is, and so it is refused once; of the rest nothing is believed.
    const recorded = await rows('SELECT FROM waybill.decision WHERE run_id = $1', [id]);
    assert.equal(recorded.length, 3);
    await until('all of it is on record', async () => {
      const refused = await audited(id, 'decision.denied');
      return refused.length === 2 * forged.length - recorded.length + junk.length;
    });
    assert.deepEqual(await audited(id, 'decision.counted'), []);
    assert.equal((await get(id)).state, 'awaiting-approval');
    assert.equal(await paid(name), 0);
    // The genuine one counts, by a signal too, and once.
    for (let i = 0; i < 2; i++)
      await temporal.workflow.getHandle(id).signal('decide', { token, comment: null, form: null });
    await inState(id, 'completed');
    assert.deepEqual(await audited(id, 'decision.counted'), ['decision.counted']);
    assert.equal(await paid(name), 2);
  });

  it('believe no table either: a record that says approved lets nothing through', async () => {
    const name = fresh();
    const id = await pay(name, 2);
    await asked(id);
    await rows(`UPDATE waybill.approval SET state = 'approved', ended_at = now() WHERE run_id = $1`, [id]);
    // Something to make the run look.
    await temporal.workflow.getHandle(id).signal('decide', { token: '', comment: null, form: null });
    await inState(id, 'failed', 'ApprovalRequired');
    assert.equal(await paid(name), 0);
    assert.ok((await audited(id)).includes('attempt.denied ApprovalRequired'));
  });

  it('read nothing before enough people have let them, where that is their gate', async () => {
    const name = fresh();
    const response = await alice('/v1/pipelines/extracts/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: { url: feed.urlOf(name) } }),
    });
    const { id } = (await response.json()) as Run;
    const approval = await asked(id);
    feed.send(name, [{ id: `${name}-1` }, { id: `${name}-2` }]);
    feed.end(name);
    assert.equal((await get(id)).state, 'awaiting-approval');
    assert.equal(await vote(bob, approval), 202);
    await until('the first is counted', async () => (await audited(id)).includes('decision.counted'));
    assert.equal(feed.wasAsked(name), false);
    assert.equal((await get(id)).state, 'awaiting-approval');
    const erin = await stack.as('erin');
    assert.deepEqual(await inbox(bob, id), { 'to-decide': [], mine: [], decided: ['pending'] });
    assert.deepEqual(await inbox(erin, id), { 'to-decide': ['pending'], mine: [], decided: [] });
    assert.equal(await vote(erin, approval), 202);
    assert.equal((await inState(id, 'completed')).counts.stored, 2);
    assert.equal(feed.wasAsked(name), true);
  });

  it('are suspended where a right is revoked while they wait, and are published once it is restored', async () => {
    const name = fresh();
    const id = await pay(name, 2);
    const approval = await asked(id);
    const revoked = await carol('/v1/revocations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind: 'grant', id, reason: 'a test' }),
    });
    const revocation = (await revoked.json()) as { id: string };
    assert.equal(await vote(bob, approval), 202);
    await inState(id, 'suspended', 'GrantRevoked');
    assert.equal(await paid(name), 0);
    await carol(`/v1/revocations/${revocation.id}`, { method: 'DELETE' });
    assert.equal((await inState(id, 'completed')).counts.stored, 2);
    assert.deepEqual(await audited(id, 'approval.%'), ['approval.requested', 'approval.approved']);
  });

  it('end their approval with themselves: cancelled, or terminated from outside', async () => {
    const [cancelled, terminated] = [await pay(fresh(), 2), await pay(fresh(), 2)];
    await asked(cancelled);
    await asked(terminated);
    assert.ok((await objectsOf(terminated)) > 0);
    assert.equal((await alice(`/v1/runs/${cancelled}/cancel`, { method: 'POST' })).status, 202);
    await inState(cancelled, 'cancelled', 'RunCancelled');
    await temporal.workflow.getHandle(terminated).terminate();
    await rows(`UPDATE waybill.run SET created_at = created_at - interval '2 minutes' WHERE id = $1`, [
      terminated,
    ]);
    await inState(terminated, 'failed', 'RunTerminated');
    for (const id of [cancelled, terminated])
      assert.equal((await approvalOf(database, id))!.state, 'cancelled');
    await until('what was staged is dropped', async () => (await objectsOf(terminated)) === 0);
  });

  it('store nothing batch by batch, even if an attacker drives their workflow: their grant does not name that step', async () => {
    const id = await pay(fresh(), 2);
    await asked(id);
    const [{ grant }] = (await rows('SELECT grant_jws AS grant FROM waybill.run WHERE id = $1', [id])) as [
      { grant: string },
    ];
    const { tctx } = JSON.parse(Buffer.from(grant.split('.')[1]!, 'base64url').toString());
    assert.equal(tctx.steps.includes('store'), false);
    // Under its own grant and id, but as if it had no gate.
    await temporal.workflow.getHandle(id).terminate();
    assert.equal(await outsider.start(id, grant), 'StepNotGranted');
  });

  // The short form of `npm run chaos -- approvals`.
  it('come to one end each, whatever comes at one moment: sixteen races', {
    timeout: 300_000,
  }, async (t) => {
    const said = await raceDecisions(stack, { races: 16, atOnce: 16 });
    const [seen, violations] = [said.filter(isRemark), said.filter((line) => !isRemark(line))];
    for (const line of seen) t.diagnostic(line);
    assert.deepEqual(violations, []);
  });

  it('are published once, even if the workers are killed after the vote', async () => {
    const name = fresh();
    const id = await pay(name, 200);
    const approval = await asked(id);
    assert.equal(await vote(bob, approval), 202);
    await until('the vote is counted', async () => (await audited(id)).includes('decision.counted'));
    for (const worker of ['worker-1', 'worker-2']) {
      const pid = stack.pid(worker);
      if (pid) process.kill(pid, 'SIGKILL');
    }
    const { counts } = await inState(id, 'completed');
    assert.equal(counts.stored, 200);
    assert.equal(await paid(name), 200);
    assert.deepEqual(await audited(id, 'run.published'), ['run.published']);
  });
});
