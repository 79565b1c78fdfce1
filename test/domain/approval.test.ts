import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ineligible, type RecordedDecision, refusalOf, tally } from '../../domain/approvals/approval.ts';
import { actionsOf, grantedSteps } from '../../domain/grants/grant.ts';
import type { Principal } from '../../domain/principal.ts';

const principal = (name: string, change: Partial<Principal> = {}): Principal => ({
  id: `prn_${name}`,
  issuer: 'https://issuer.test',
  subject: name,
  kind: 'person',
  tenant: 'acme',
  roles: ['data-steward'],
  ...change,
});
const decided = (
  name: string,
  vote: 'approve' | 'reject',
  counted: RecordedDecision['counted'] = true,
  person?: string,
) => ({
  id: `${name}-${vote}`,
  vote,
  by: principal(name, person ? { person } : {}),
  comment: null,
  form: null,
  at: '2026-01-01T00:00:00Z',
  counted,
});

describe('who may decide', () => {
  const copilot = { id: 'prn_copilot', issuer: 'i', subject: 'copilot', kind: 'agent' as const };
  const approval = {
    requestedBy: { ...principal('alice', { person: 'per_alice' }), actor: copilot },
    by: ['data-steward'],
    decisions: [
      decided('bob', 'approve', true, 'per_bob'),
      decided('erin', 'approve', 'Forbidden'),
      decided('finn', 'approve', null),
    ],
    state: 'pending' as const,
    digest: 'd',
  };

  const cases: [string, Principal, string | undefined][] = [
    ['another person with the role', principal('dora'), undefined],
    ['who was refused before', principal('erin'), undefined],
    [
      'who asked, whatever their roles',
      principal('alice', { roles: ['data-steward', 'operator'] }),
      'ApproverIsRequester',
    ],
    ['who acts for them, were it a person', principal('copilot'), 'ApproverIsRequester'],
    ['an agent', principal('agent', { kind: 'agent' }), 'ApproverNotHuman'],
    ['a service', principal('billing', { kind: 'service' }), 'ApproverNotHuman'],
    ['a person through an agent', principal('dora', { actor: copilot }), 'ApproverNotHuman'],
    ['a person without the role', principal('dora', { roles: ['operator'] }), 'ApproverLacksRole'],
    ['a person without a role', principal('dora', { roles: [] }), 'ApproverLacksRole'],
    ['who has decided', principal('bob'), 'ApproverHasDecided'],
    ['who has a decision on its way', principal('finn'), 'ApproverHasDecided'],
    ['who asked, by another account', principal('al', { person: 'per_alice' }), 'ApproverIsRequester'],
    ['who has decided by another account', principal('rob', { person: 'per_bob' }), 'ApproverHasDecided'],
    ['another human of an issuer that says which', principal('dora', { person: 'per_dora' }), undefined],
  ];
  for (const [name, who, code] of cases)
    it(`${code ?? 'may'}: ${name}`, () => assert.equal(ineligible(approval, who), code));

  it('is asked in one order: the person, the policy, the approval, what they have done', () => {
    const ask = (change: object, allowed = true, who = principal('bob'), digest = 'd') =>
      refusalOf({ ...approval, ...change }, { principal: who, allowed, digest });
    assert.equal(ask({ state: 'void' }, false, principal('alice')), 'ApproverIsRequester');
    assert.equal(ask({ state: 'void' }, false), 'Forbidden');
    assert.equal(ask({ state: 'void' }), 'ApprovalChanged');
    for (const state of ['approved', 'rejected', 'expired', 'cancelled', 'waived'])
      assert.equal(ask({ state }, true, principal('bob'), 'e'), 'ApprovalEnded');
    assert.equal(ask({}, true, principal('bob'), 'e'), 'ApprovalChanged');
    assert.equal(ask({}), 'ApproverHasDecided');
    assert.equal(ask({}, true, principal('dora')), undefined);
  });
});

describe('what decisions come to', () => {
  const cases: [ReturnType<typeof decided>[], number, string][] = [
    [[], 1, 'pending'],
    [[decided('bob', 'approve')], 1, 'approved'],
    [[decided('bob', 'approve')], 2, 'pending'],
    [[decided('bob', 'approve'), decided('bob', 'approve')], 2, 'pending'],
    [[decided('bob', 'approve'), decided('erin', 'approve')], 2, 'approved'],
    [[decided('bob', 'approve', true, 'per_1'), decided('rob', 'approve', true, 'per_1')], 2, 'pending'],
    [[decided('bob', 'approve', true, 'per_1'), decided('erin', 'approve', true, 'per_2')], 2, 'approved'],
    [[decided('bob', 'approve'), decided('erin', 'reject')], 1, 'rejected'],
    [[decided('bob', 'reject', 'Forbidden'), decided('erin', 'approve', null)], 1, 'pending'],
  ];
  for (const [decisions, quorum, outcome] of cases) {
    const told = decisions.map(({ by, vote, counted }) => `${by.subject} ${vote} ${counted}`);
    it(`${outcome}: ${told.join(', ') || 'none'}, of ${quorum}`, () =>
      assert.equal(tally(decisions, quorum), outcome));
  }
});

describe('the steps of a grant', () => {
  const source = { kind: 'inline' } as const;
  const terms = {
    by: [],
    conditional: false,
    quorum: 1,
    withinMs: 1,
    onTimeout: 'reject',
    escalateTo: [],
  } as const;

  it('name neither a gate that is not there, nor the store that a gate stands before', () => {
    assert.deepEqual(grantedSteps({ source }), [
      'ingest',
      'validate',
      'transform',
      'store',
      'suspend',
      'replaceGrant',
      'resume',
      'finalize',
    ]);
    const before = (gate: 'ingest' | 'publish') =>
      grantedSteps({ source, approval: { ...terms, before: gate } });
    for (const step of ['gate', 'decide', 'processApprovalTimers'] as const)
      for (const gate of ['ingest', 'publish'] as const) assert.ok(before(gate).includes(step));
    assert.deepEqual(
      (['ingest', 'publish'] as const).map((gate) =>
        before(gate).filter((one) => one === 'store' || one === 'publish'),
      ),
      [['store'], ['publish']],
    );
  });

  it('have a run go on only with every right that those to come need', () => {
    const rights = (gate?: 'ingest' | 'publish') =>
      actionsOf('resume', grantedSteps({ source, ...(gate && { approval: { ...terms, before: gate } }) }));
    assert.deepEqual(rights(), ['ingest', 'validate', 'transform', 'store']);
    assert.deepEqual(rights('ingest'), ['ingest', 'validate', 'transform', 'store']);
    assert.deepEqual(rights('publish'), ['ingest', 'validate', 'transform', 'publish']);
    assert.deepEqual(
      [actionsOf('decide', []), actionsOf('processApprovalTimers', []), actionsOf('unheard', [])],
      [[], [], []],
    );
  });
});
