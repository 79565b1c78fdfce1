import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import type { DecisionClaims } from '../../domain/decision.ts';
import { hasEnded } from '../../domain/run.ts';
import type { Run } from '../../sdk/client.ts';
import { approvalOf, claimsOf, instanceOf, type ShownApprovalRow, signerOf } from '../approvals/decisions.ts';
import { type DevStack, startDevStack } from '../devStack.ts';
import { serveHeldFeed } from '../heldFeed.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;
type Change = Parameters<typeof claimsOf>[5];

const bob = { name: 'bob', roles: ['data-steward'] };

describe('runs that people have to let through', () => {
  let stack: DevStack;
  let database: pg.Pool;
  let connection: Connection;
  let temporal: Client;
  let feed: Awaited<ReturnType<typeof serveHeldFeed>>;
  let alice: Call;
  let sign: Awaited<ReturnType<typeof signerOf>>;
  let issuer: string;

  before(async () => {
    feed = await serveHeldFeed();
    stack = await startDevStack({
      project: fileURLToPath(new URL('../project', import.meta.url)),
      env: { WAYBILL_EGRESS_ALLOW: feed.host },
    });
    database = new pg.Pool({ connectionString: stack.info().databaseUrl, max: 4 });
    connection = await Connection.connect({ address: stack.info().temporalAddress });
    temporal = new Client({ connection });
    alice = await stack.as('alice');
    sign = await signerOf(stack);
    issuer = await instanceOf(stack);
  });
  after(async () => {
    await connection?.close();
    await database?.end();
    await stack?.stop();
    feed?.close();
  });

  const rows = async <T = Record<string, unknown>>(text: string, values: unknown[] = []) =>
    (await database.query(text, values)).rows as T[];

  async function until<T>(what: string, look: () => Promise<T | undefined | false>, ms = 60_000): Promise<T> {
    for (const by = performance.now() + ms; ; await pause(25)) {
      const found = await look();
      if (found) return found;
      assert.ok(performance.now() < by, `not within ${ms} ms: ${what}`);
    }
  }

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

    const { token } = await decisionOf(approval, bob);
    assert.deepEqual(await update(id, token), { counted: true, state: 'approved' });
    const run = await inState(id, 'completed');
    assert.equal(run.counts.stored, 25);
    assert.equal(await paid(name), 25);
    assert.deepEqual(
      (await audited(id)).filter((action) => !action.startsWith('batch.')),
      [
        'run.accepted',
        'run.started',
        'approval.requested',
        'decision.counted',
        'approval.approved',
        'run.published',
        'run.completed',
      ],
    );
  });
});
