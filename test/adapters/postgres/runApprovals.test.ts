import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { createRunApprovals } from '../../../adapters/postgres/approvals/runApprovals.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { type ApprovalSubject, refusalOf } from '../../../domain/approvals/approval.ts';
import { approverOf, type DecisionClaims } from '../../../domain/approvals/decision.ts';
import type { ApprovalManifest } from '../../../domain/approvals/gate.ts';
import type {
  Asked,
  DecisionMade,
  GateAudit,
  RunApprovals,
  StandingApproval,
} from '../../../domain/ports/approvals.ts';
import type { RunStates } from '../../../domain/ports/runs.ts';
import { requesterOf } from '../../../domain/principal.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const requestedBy = {
  id: 'prn_alice',
  issuer: 'https://issuer.test',
  subject: 'alice',
  kind: 'person',
} as const;
const terms: ApprovalManifest = {
  before: 'publish',
  by: ['data-steward'],
  conditional: false,
  quorum: 1,
  withinMs: 60_000,
  onTimeout: 'reject',
  escalateTo: [],
};

describe('gates', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let gates: RunApprovals;
  let runs: RunStates;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 8 });
    gates = createRunApprovals(tenantsOf(pool), 'https://waybill.test/');
    runs = createRunStates(tenantsOf(pool), 'https://waybill.test/');
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  /** A run that has come to its gate. */
  async function newRun(callback: { url: string; links: object } | null = null): Promise<RunFacts> {
    const runId = `payouts-${uuidv7()}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                parameters, source, callback, grant_jws, txn, arrival)
       VALUES ($1, 'acme', 'payouts', 1, 'd', '{}', 'running', 'prn_alice', $2, '{}', '{}', $3, 'g', 't', 'sealed')`,
      [runId, requestedBy, callback],
    );
    return runs.find({ tenant: 'acme', runId });
  }

  const audit =
    ({ runId }: RunFacts): GateAudit =>
    (action, detail, outcome = 'success') => ({
      action,
      outcome,
      tenant: 'acme',
      actor: null,
      runId,
      txn: 't',
      detail,
    });

  function askedOf(run: RunFacts, change: Partial<Asked> & { terms?: ApprovalManifest } = {}): Asked {
    const shown: ApprovalSubject = {
      gate: 'publish',
      run: run.runId,
      pipeline: 'payouts',
      version: 1,
      definitionDigest: 'd',
      sourceDigest: 's',
      parametersDigest: 'p',
      stages: ['a'],
      baseVersion: 0,
      counts: zeroCounts,
      changes: { added: 1, changed: 0, unchanged: 0, deduplicated: 0 },
      rejectedByCode: {},
    };
    return { shown, digest: 'd'.repeat(64), terms, sample: null, waived: false, after: 0, ...change };
  }
  const open = (run: RunFacts, change?: Parameters<typeof askedOf>[1]) =>
    gates.open(run, askedOf(run, change), audit(run));

  /** What the step makes of a decision, with everybody allowed by the policy. */
  function made(
    approval: StandingApproval,
    name: string,
    vote: 'approve' | 'reject',
    change: { jti?: string; roles?: string[]; shownDigest?: string } = {},
  ): DecisionMade {
    const { jti = randomUUID(), roles = ['data-steward'], shownDigest = approval.digest } = change;
    const claims: DecisionClaims = {
      iss: 'urn:waybill:test',
      aud: 'waybill',
      iat: 1,
      exp: 2,
      jti,
      txn: '0'.repeat(32),
      sub: `prn_${name}`,
      req: { iss: 'https://issuer.test', sub: name, iat: 1, kind: 'person', roles },
      tctx: {
        tenant: 'acme',
        namespace: 'default',
        workflowId: approval.shown.run,
        approval: approval.id,
        shownDigest,
        vote,
        detailDigest: '0'.repeat(64),
      },
    };
    const principal = approverOf(claims);
    return {
      claims,
      jws: `signed ${jti}`,
      by: requesterOf(principal),
      comment: null,
      form: null,
      refusal: (standing) =>
        refusalOf({ ...standing, requestedBy }, { principal, allowed: true, digest: shownDigest }),
    };
  }
  const decide = async (
    run: RunFacts,
    approval: StandingApproval,
    name: string,
    vote: 'approve' | 'reject',
    change?: Parameters<typeof made>[3],
  ) => (await gates.decide(run, made(approval, name, vote, change), audit(run)))!;

  const stateOf = async ({ runId }: RunFacts) =>
    (await admin.query('SELECT state, reason FROM waybill.run WHERE id = $1', [runId])).rows[0].state;
  const audited = async ({ runId }: RunFacts) =>
    (
      await admin.query('SELECT action FROM waybill.audit_event WHERE run_id = $1 ORDER BY id', [runId])
    ).rows.map(({ action }) => action as string);
  const told = async ({ runId }: RunFacts) =>
    (
      await admin.query(
        'SELECT type, url, data FROM waybill.delivery WHERE run_id = $1 ORDER BY created_at, type, url',
        [runId],
      )
    ).rows;
  /** As if so much time had gone by. */
  const later = ({ id }: StandingApproval, ms: number) =>
    admin.query(
      `UPDATE waybill.approval SET expires_at = expires_at - $2 * interval '1 millisecond',
         remind_at = remind_at - $2 * interval '1 millisecond' WHERE id = $1`,
      [id, ms],
    );

  it('are opened once for the same, and the run shows that it waits', async () => {
    const run = await newRun();
    const first = await open(run);
    assert.equal(first.state, 'pending');
    assert.ok(first.dueInMs > 55_000 && first.dueInMs <= 60_000, `${first.dueInMs}`);
    assert.equal(await stateOf(run), 'awaiting-approval');
    assert.equal((await open(run)).id, first.id);
    assert.deepEqual(await audited(run), ['approval.requested']);
  });

  it('let a run through by as many people as asked for, each once, whatever is sent again', async () => {
    const run = await newRun();
    const approval = await open(run, { terms: { ...terms, quorum: 2 } });
    const jti = randomUUID();
    for (let i = 0; i < 2; i++) {
      const { counted, approval: standing } = await decide(run, approval, 'bob', 'approve', { jti });
      assert.deepEqual([counted, standing.state], [true, 'pending']);
    }
    assert.equal((await decide(run, approval, 'bob', 'approve')).counted, 'ApproverHasDecided');
    assert.equal((await decide(run, approval, 'alice', 'approve')).counted, 'ApproverIsRequester');
    assert.equal(
      (await decide(run, approval, 'carol', 'approve', { roles: [] })).counted,
      'ApproverLacksRole',
    );
    const stale = await decide(run, approval, 'dora', 'approve', { shownDigest: 'e'.repeat(64) });
    assert.equal(stale.counted, 'ApprovalChanged');
    assert.equal((await decide(run, approval, 'erin', 'approve')).approval.state, 'approved');
    assert.equal(await stateOf(run), 'running');
    assert.equal((await decide(run, approval, 'finn', 'reject')).counted, 'ApprovalEnded');
    assert.deepEqual(
      (await gates.find(run))!.decisions.flatMap(({ by, counted }) => (counted === true ? [by.id] : [])),
      ['prn_bob', 'prn_erin'],
    );
    const events = await audited(run);
    assert.equal(events.filter((one) => one === 'decision.counted').length, 2);
    assert.equal(events.filter((one) => one === 'decision.denied').length, 5);
    assert.equal(events.filter((one) => one === 'approval.approved').length, 1);
  });

  it('know nothing of an approval of another run', async () => {
    const [run, other] = [await newRun(), await newRun()];
    const approval = await open(other);
    await open(run);
    assert.equal(await gates.decide(run, made(approval, 'bob', 'approve'), audit(run)), undefined);
    assert.equal((await gates.find(other))!.decisions.length, 0);
  });

  it('void what does not hold any more, with its votes, and request approval again', async () => {
    const run = await newRun();
    const first = await open(run);
    await decide(run, first, 'bob', 'approve');
    const changed = { digest: 'e'.repeat(64), after: 1 };
    const second = await open(run, changed);
    assert.deepEqual([second.round, second.state, second.decisions.length], [2, 'pending', 0]);
    assert.equal((await open(run, changed)).id, second.id, 'a retry finds what it has asked');
    assert.equal((await decide(run, first, 'erin', 'approve')).counted, 'ApprovalChanged');
    assert.equal((await decide(run, second, 'bob', 'approve')).approval.state, 'approved');
    assert.deepEqual(await audited(run), [
      'approval.requested',
      'decision.counted',
      'approval.approved',
      'approval.voided',
      'approval.requested',
      'decision.denied',
      'decision.counted',
      'approval.approved',
    ]);
  });

  it('do not ask again after a rejection', async () => {
    const run = await newRun();
    const approval = await open(run);
    assert.equal((await decide(run, approval, 'bob', 'reject')).approval.state, 'rejected');
    assert.equal((await open(run, { digest: 'e'.repeat(64), after: 1 })).state, 'rejected');
  });

  it('remind, escalate and expire by the clock of the database, and early do nothing', async () => {
    const run = await newRun({ url: 'https://hooks.example/', links: { self: 'as signed' } });
    const notify = 'https://chat.example/stewards';
    const patient: ApprovalManifest = {
      ...terms,
      remindMs: 40_000,
      onTimeout: 'escalate',
      escalateTo: ['operator'],
      notify,
    };
    const approval = await open(run, { terms: patient });
    const lapse = async () => (await gates.processTimers(run, audit(run)))!;
    assert.equal((await lapse()).state, 'pending');
    await later(approval, 41_000);
    assert.equal((await lapse()).escalated, false);
    await later(approval, 20_000);
    const escalated = await lapse();
    assert.deepEqual([escalated.escalated, escalated.by], [true, ['data-steward', 'operator']]);
    assert.ok(Date.parse(escalated.expiresAt) > Date.now() + 50_000, 'everybody has as long again');
    await later(approval, 61_000);
    assert.equal(
      (await decide(run, approval, 'bob', 'approve')).counted,
      'ApprovalEnded',
      'the deadline was not processed yet',
    );
    const expired = await lapse();
    assert.deepEqual([expired.state, expired.dueInMs], ['expired', 0]);
    assert.equal((await lapse()).state, 'expired');
    assert.deepEqual(await audited(run), [
      'approval.requested',
      'approval.reminded',
      'approval.escalated',
      'decision.denied',
      'approval.expired',
    ]);
    const events = await told(run);
    assert.deepEqual(
      events.map(({ type, url }) => [type, url]),
      ['approval.requested', 'approval.reminded', 'approval.escalated', 'approval.ended'].flatMap((type) => [
        [type, notify],
        [type, 'https://hooks.example/'],
      ]),
    );
    const [ours, theirs] = events as { data: { links: unknown } }[];
    const self = `https://waybill.test/v1/runs/${run.runId}`;
    assert.deepEqual(ours!.data.links, { self, events: `${self}/events`, audit: `${self}/audit` });
    assert.deepEqual(theirs!.data.links, { self: 'as signed' });
    assert.doesNotMatch(JSON.stringify(events), /signed |eyJ/);
  });

  it('end as cancelled with their run, in one transaction', async () => {
    const run = await newRun({ url: 'https://hooks.example/', links: {} });
    await open(run);
    const reason = { code: 'RunCancelled', message: '' };
    const ended = audit(run)('run.cancelled', {});
    await runs.end(run, () => ({
      outcome: { state: 'cancelled', counts: zeroCounts, reason },
      audit: ended,
    }));
    assert.equal((await gates.find(run))!.state, 'cancelled');
    assert.deepEqual((await audited(run)).sort(), [
      'approval.cancelled',
      'approval.requested',
      'run.cancelled',
    ]);
    assert.deepEqual(
      (await told(run)).map(({ type, data }) => [type, data.state]),
      [
        ['approval.requested', 'pending'],
        ['approval.ended', 'cancelled'],
        ['run.cancelled', 'cancelled'],
      ],
    );
    await assert.rejects(open(run, { digest: 'e'.repeat(64) }), { code: 'RunEnded' });
  });

  it('have one outcome each, whatever comes at once: a hundred races', async () => {
    const outcomes = new Map<string, number>();
    for (let trial = 0; trial < 100; trial++) {
      const run = await newRun();
      const approval = await open(run);
      const racers: (() => Promise<unknown>)[] = [
        () => decide(run, approval, 'bob', 'approve'),
        () => decide(run, approval, 'erin', 'reject'),
        () => later(approval, 61_000).then(() => gates.processTimers(run, audit(run))),
        () =>
          runs.end(run, () => ({
            outcome: {
              state: 'cancelled',
              counts: zeroCounts,
              reason: { code: 'RunCancelled', message: '' },
            },
            audit: audit(run)('run.cancelled', {}),
          })),
      ];
      // Each of them is first as often as the others.
      await Promise.all([...racers.slice(trial % 4), ...racers.slice(0, trial % 4)].map((race) => race()));
      const { state, decisions } = (await gates.find(run))!;
      outcomes.set(state, (outcomes.get(state) ?? 0) + 1);
      const ends = (await audited(run)).filter((action) =>
        /^approval\.(approved|rejected|expired|cancelled)$/.test(action),
      );
      assert.deepEqual(ends, [`approval.${state}`], `trial ${trial}`);
      const counted = decisions.filter((one) => one.counted === true).map(({ vote }) => vote);
      const expected = { approved: ['approve'], rejected: ['reject'] }[state as string] ?? [];
      assert.deepEqual(counted, expected, `trial ${trial}`);
      assert.equal(await stateOf(run), 'cancelled');
    }
    assert.equal(
      [...outcomes.values()].reduce((a, b) => a + b),
      100,
    );
    assert.ok(!outcomes.has('pending'), JSON.stringify([...outcomes]));
  });
});
