import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createPolicyEngine } from '../../../adapters/policy/engine.ts';
import { strayNames } from '../../../adapters/policy/names.ts';
import { readPolicies } from '../../../adapters/policy/readPolicies.ts';
import type { WaybillError } from '../../../domain/errors.ts';
import {
  type Action,
  actionResources,
  callerActions,
  type PipelineResource,
  type PolicySet,
  type Resource,
  taskActions,
} from '../../../domain/policies/policy.ts';
import { rolesWithoutPermit } from '../../../domain/policies/rolesWithoutPermit.ts';
import type { Principal } from '../../../domain/principal.ts';

const alice: Principal = {
  id: 'prn_alice',
  issuer: 'https://issuer',
  subject: 'alice',
  kind: 'person',
  tenant: 'acme',
  roles: ['data-engineer'],
};
const copilot = { id: 'prn_copilot', issuer: 'https://issuer', subject: 'copilot', kind: 'agent' } as const;

const orders: PipelineResource = {
  kind: 'pipeline',
  id: 'orders',
  tenant: 'acme',
  labels: { classification: 'internal' },
  source: 'upload',
  sink: 'postgres',
  gated: false,
};
const { kind: _, tenant: __, ...ofOrders } = orders;
const run: Resource = {
  kind: 'run',
  id: 'orders-1',
  tenant: 'acme',
  requestedBy: 'prn_zoe',
  pipeline: ofOrders,
};
const resources: Record<Resource['kind'], Resource> = {
  tenant: { kind: 'tenant', tenant: 'acme' },
  pipeline: orders,
  run,
  instance: { kind: 'instance', tenant: 'acme' },
};

const allActions: readonly Action[] = [...callerActions, ...taskActions];
const kinds = Object.keys(resources) as Resource['kind'][];

describe('the shipped policy', async () => {
  const policy = createPolicyEngine(await readPolicies());
  const allows = (principal: Partial<Principal>, action: Action, resource: Resource) =>
    policy.decide({ principal: { ...alice, ...principal }, action, resource }).allowed;

  const may: Record<string, readonly Action[]> = {
    'data-engineer': [
      'trigger',
      'read',
      'cancel',
      'resume',
      'schedule',
      'redrive',
      'repair',
      'discard',
      ...taskActions,
    ],
    'data-steward': ['read', 'reveal', 'approve', 'redrive', 'repair', 'discard', 'cancel', ...taskActions],
    operator: ['read', 'cancel', 'resume', 'discard', 'revoke', 'administer'],
    auditor: ['read'],
    'of-no-meaning': [],
  };

  for (const [role, actions] of Object.entries(may)) {
    it(`lets ${role} do exactly: ${actions.join(', ') || 'nothing'}`, () => {
      for (const action of allActions)
        for (const kind of kinds) {
          const expected = actions.includes(action) && actionResources[action].includes(kind);
          const asked = `${role} ${action} ${kind}`;
          assert.equal(allows({ roles: [role] }, action, resources[kind]), expected, asked);
          assert.equal(allows({ roles: [role, 'of-no-meaning'] }, action, resources[kind]), expected, asked);
        }
    });
  }

  it('knows the roles of its matrix, and no others', () => {
    assert.deepEqual(
      policy.roles,
      Object.keys(may)
        .filter((role) => role !== 'of-no-meaning')
        .sort(),
    );
  });

  it('is asked about what each action is about, and nothing else', () => {
    const any = createPolicyEngine({
      policies: { 'any/all': 'permit (principal, action, resource);' },
      roles: policy.roles,
    });
    for (const action of allActions)
      for (const kind of kinds) {
        const { allowed } = any.decide({ principal: alice, action, resource: resources[kind] });
        assert.equal(allowed, actionResources[action].includes(kind), `${action} ${kind}`);
      }
  });

  it('lets no principal reach into another tenant, or act without one', () => {
    const roles = [...policy.roles];
    for (const action of allActions)
      for (const kind of kinds) {
        assert.equal(allows({ roles, tenant: 'globex' }, action, resources[kind]), false);
        assert.equal(allows({ roles, tenant: 'ACME' }, action, resources[kind]), false);
        for (const tenant of ['', 'acme'])
          assert.equal(allows({ roles, tenant: '' }, action, { ...resources[kind], tenant }), false);
      }
    const denied = policy.decide({
      principal: { ...alice, tenant: 'globex' },
      action: 'read',
      resource: run,
    });
    assert.deepEqual(denied.policies, ['boundary/own-tenant-only']);
  });

  it('lets no principal operate an instance without an operating tenant', () => {
    const unowned: Resource = { kind: 'instance', tenant: '' };
    for (const action of ['read', 'revoke', 'administer'] as const)
      assert.equal(allows({ roles: [...policy.roles] }, action, unowned), false);
  });

  it('lets an agent near sensitive data only where a person approves', () => {
    for (const agent of [{ actor: copilot }, { kind: 'agent' }] as const)
      for (const classification of ['public', 'internal', 'confidential', 'restricted', undefined])
        for (const gated of [false, true])
          for (const action of ['trigger', 'schedule', ...taskActions] as const) {
            const labels: Record<string, string> = classification ? { classification } : {};
            const sensitive = classification === 'confidential' || classification === 'restricted';
            const allowed = allows(agent, action, { ...orders, labels, gated });
            assert.equal(allowed, gated || !sensitive, `${action} ${classification} ${gated}`);
          }
    const service = { id: 'prn_cron', issuer: 'https://issuer', subject: 'cron', kind: 'service' } as const;
    assert.equal(
      allows({ actor: service }, 'trigger', { ...orders, labels: { classification: 'restricted' } }),
      true,
    );
  });

  it('has a run approved by another person, who acts directly', () => {
    const steward = { roles: ['data-steward'] };
    assert.equal(allows(steward, 'approve', run), true);
    assert.equal(allows(steward, 'approve', { ...run, requestedBy: alice.id } as Resource), false);
    assert.equal(allows({ ...steward, actor: copilot }, 'approve', run), false);
    for (const kind of ['service', 'agent'] as const)
      assert.equal(allows({ ...steward, kind }, 'approve', run), false);
  });

  it('lets no agent revoke, administer or reveal, whatever person it acts for', () => {
    const roles = [...policy.roles];
    for (const action of ['revoke', 'administer', 'reveal', 'approve'] as const)
      for (const kind of kinds.filter((kind) => actionResources[action].includes(kind))) {
        assert.equal(allows({ roles }, action, resources[kind]), true, `${action} ${kind}`);
        for (const agent of [{ actor: copilot }, { kind: 'agent' }] as const)
          assert.equal(allows({ roles, ...agent }, action, resources[kind]), false, `${action} ${kind}`);
      }
  });

  it('names the policies that decided, and the set', () => {
    const allowed = policy.decide({ principal: alice, action: 'store', resource: orders });
    assert.deepEqual(allowed, { allowed: true, policies: ['base/data-engineers'], digest: policy.digest });
    const twice = { ...alice, roles: ['data-engineer', 'auditor'] };
    assert.deepEqual(policy.decide({ principal: twice, action: 'read', resource: orders }).policies, [
      'base/auditors',
      'base/data-engineers',
    ]);
    assert.deepEqual(policy.decide({ principal: alice, action: 'approve', resource: run }).policies, []);
  });
});

describe('a decision', () => {
  const question = { principal: alice, action: 'trigger', resource: orders } as const;
  const setOf = (policies: Record<string, string>): PolicySet => ({ policies, roles: ['data-engineer'] });

  it('is no where a policy fails to evaluate, whatever the others say', () => {
    // Strict validation knows types, but not how large numbers become.
    const overflow =
      '@id("x") forbid (principal, action == Waybill::Action::"trigger", resource) when { 9223372036854775807 + (if resource.gated then 0 else 1) > 0 };';
    const policy = createPolicyEngine(
      setOf({ 'a/permit': '@id("p") permit (principal, action, resource);', 'a/overflow': overflow }),
    );
    const { digest } = policy;
    assert.deepEqual(policy.decide(question), { allowed: false, policies: ['a/overflow'], digest });
    const gated = { ...question, resource: { ...orders, gated: true } };
    assert.equal(policy.decide(gated).allowed, false, 'the same forbid, evaluated');
  });

  it('is no where the question does not fit the schema', () => {
    const policy = createPolicyEngine(setOf({ 'a/all': 'permit (principal, action, resource);' }));
    assert.equal(policy.decide(question).allowed, true);
    const unfit = [
      { ...question, action: 'cancel' },
      { ...question, action: 'fly' },
      { ...question, resource: { ...orders, source: 'carrier-pigeon' } },
      { ...question, principal: { ...alice, kind: 'ghost' } },
    ] as (typeof question)[];
    for (const one of unfit) assert.deepEqual(policy.decide(one).policies, [], JSON.stringify(one));
    for (const one of unfit) assert.equal(policy.decide(one).allowed, false, JSON.stringify(one));
  });

  it('is cached for the same question, and asked again for a principal that differs in anything', () => {
    const policy = createPolicyEngine(
      setOf({ 'a/alice': 'permit (principal == Waybill::Principal::"prn_alice", action, resource);' }),
    );
    assert.equal(policy.decide(question), policy.decide({ ...question, principal: { ...alice } }));
    for (const other of [
      { id: 'prn_alic' },
      { id: 'prn_alice ' },
      { id: 'PRN_ALICE' },
    ] satisfies Partial<Principal>[])
      assert.equal(policy.decide({ ...question, principal: { ...alice, ...other } }).allowed, false);
  });

  it('counts declared roles of any name, and ignores all others of any number', () => {
    const declared = ['data-engineer', 'All Employees', 'Prüfer'];
    const policies = Object.fromEntries(
      declared.map((role, i) => [
        `a/${i}`,
        `permit (principal in Waybill::Role::"${role}", action, resource);`,
      ]),
    );
    const policy = createPolicyEngine({ policies, roles: declared });
    const others = Array.from({ length: 500 }, (_, i) => `Gruppe für ${i}`);
    const decide = (roles: string[]) =>
      policy.decide({ ...question, principal: { ...alice, roles } }).allowed;
    for (const role of declared) assert.equal(decide([...others, role]), true, role);
    assert.equal(decide(others), false);
    assert.equal(decide([]), false);
  });

  it('is by one digest for equal sets, however they are written down', () => {
    const digestOf = (set: PolicySet) => createPolicyEngine(set).digest;
    const [a, b] = ['permit (principal, action, resource);', 'forbid (principal, action, resource);'];
    assert.equal(digestOf(setOf({ 'x/a': a!, 'x/b': b! })), digestOf(setOf({ 'x/b': b!, 'x/a': a! })));
    assert.notEqual(digestOf(setOf({ 'x/a': a! })), digestOf({ ...setOf({ 'x/a': a! }), roles: ['other'] }));
  });
});

describe('an explanation', async () => {
  const policy = createPolicyEngine(await readPolicies());
  const explain = (principal: Partial<Principal>, action: Action, resource: Resource) => {
    const { digest, permits, forbids, ...rest } = policy.explain({
      principal: { ...alice, ...principal },
      action,
      resource,
    });
    assert.equal(digest, policy.digest);
    return { ...rest, permits: permits.map(({ id }) => id), forbids: forbids.map(({ id }) => id) };
  };
  const nothing = { permits: [], forbids: [], errors: [], roles: [], changes: [] };

  it('of what is allowed names the permits', () => {
    assert.deepEqual(explain({}, 'trigger', orders), {
      ...nothing,
      allowed: true,
      permits: ['base/data-engineers'],
    });
  });

  it('of what nothing allows names the roles that would', () => {
    assert.deepEqual(explain({ roles: ['auditor'] }, 'cancel', run), {
      ...nothing,
      allowed: false,
      roles: ['data-engineer', 'data-steward', 'operator'],
    });
  });

  it('of what is forbidden names what stands in the way, and what would lift it', () => {
    const restricted = { ...orders, labels: { classification: 'restricted' } };
    assert.deepEqual(explain({ actor: copilot }, 'trigger', restricted), {
      ...nothing,
      allowed: false,
      permits: ['base/data-engineers'],
      forbids: ['base/agents-and-sensitive-data'],
      changes: ['approval', 'a person alone'],
    });
    assert.deepEqual(explain({ actor: copilot, roles: [] }, 'trigger', restricted).roles, ['data-engineer']);
    const own = { ...run, requestedBy: alice.id } as Resource;
    assert.deepEqual(explain({ roles: ['data-steward'] }, 'approve', own).changes, ['another requester']);
    assert.deepEqual(explain({ tenant: 'globex' }, 'read', run), {
      ...nothing,
      allowed: false,
      permits: ['base/data-engineers'],
      forbids: ['boundary/own-tenant-only'],
    });
  });

  it('of an impossible question says so', () => {
    const { allowed, errors } = explain({}, 'cancel', resources.tenant);
    assert.equal(allowed, false);
    assert.match(errors[0]!.message, /not valid for `Waybill::Action::"cancel"`/);
  });

  it('leaves decisions as they are', () => {
    const before = policy.decide({ principal: alice, action: 'trigger', resource: orders });
    explain({ tenant: 'globex' }, 'trigger', orders);
    const other = { ...alice, id: 'prn_other' };
    assert.deepEqual(
      policy.decide({ principal: other, action: 'trigger', resource: orders }).policies,
      before.policies,
    );
  });
});

describe('the policies of a project', () => {
  let project: string;
  before(async () => {
    project = await mkdtemp(join(tmpdir(), 'waybill-policies-'));
  });
  after(() => rm(project, { recursive: true }));

  /** The set of a project with these files, or the issues of the one that it is not. */
  async function read(files: Record<string, string>): Promise<PolicySet> {
    await rm(join(project, 'policies'), { recursive: true, force: true });
    await mkdir(join(project, 'policies'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(project, 'policies', name), text);
    return readPolicies(project);
  }

  async function issues(files: Record<string, string>): Promise<string[]> {
    const error: WaybillError = await read(files).then(
      () => assert.fail('it was accepted'),
      (error) => error,
    );
    assert.equal(error.code, 'PolicyInvalid');
    return error.issues!.map(({ path, message }) => `${path}: ${message}`);
  }

  const permit = '@id("all") permit (principal, action, resource);';

  it('are added to what is shipped; base.cedar takes the place of the base, and never of the boundary', async () => {
    const shipped = Object.keys((await readPolicies()).policies);
    assert.deepEqual(Object.keys((await read({})).policies), shipped);
    assert.deepEqual(Object.keys((await read({ 'mine.cedar': permit })).policies), [...shipped, 'mine/all']);
    assert.deepEqual(Object.keys((await read({ 'base.cedar': permit })).policies), [
      'base/all',
      'boundary/own-tenant-only',
      'boundary/approval-by-another-person',
    ]);
    assert.match(
      (await issues({ 'boundary.cedar': permit }))[0]!,
      /^policies\/boundary\.cedar: .*choose another/,
    );
    assert.deepEqual(await readPolicies(join(project, 'nowhere')), await readPolicies());
  });

  it('leave approvals to another person, whatever base they have', async () => {
    const own = createPolicyEngine(await read({ 'base.cedar': permit }));
    const steward = { ...alice, id: 'prn_bob', roles: ['data-steward'] };
    const decide = (principal: Principal) => own.decide({ principal, action: 'approve', resource: run });
    assert.equal(decide(steward).allowed, true);
    for (const principal of [
      { ...steward, id: 'prn_zoe' },
      { ...steward, actor: copilot },
      { ...steward, kind: 'service' },
    ] as const)
      assert.deepEqual(decide(principal).policies, ['boundary/approval-by-another-person']);
  });

  it('that permit no decision by the roles that a pipeline asks are reported', async () => {
    const of = (id: string, by: string[], escalateTo: string[] = []) => ({
      id,
      labels: {},
      source: { kind: 'upload' },
      sink: { kind: 'postgres' },
      approval: { by, escalateTo },
    });
    const orders = of('orders', ['data-steward'], ['operator', 'data-steward']);
    const payouts = of('payouts', ['operator'], ['treasury']);
    const shipped = createPolicyEngine(await readPolicies());
    assert.deepEqual(rolesWithoutPermit(shipped, [orders, payouts]), [
      { pipeline: 'orders', role: 'operator' },
      { pipeline: 'payouts', role: 'operator' },
      { pipeline: 'payouts', role: 'treasury' },
    ]);
    const mine = createPolicyEngine(
      await read({
        'mine.cedar': `@id("operators-decide") permit (principal in Waybill::Role::"operator",
          action == Waybill::Action::"approve", resource in Waybill::Pipeline::"orders");`,
      }),
    );
    assert.deepEqual(rolesWithoutPermit(mine, [orders]), []);
    assert.equal(rolesWithoutPermit(mine, [payouts]).length, 2);
  });

  it('that name a pipeline which is not there are told, with the one that is meant', async () => {
    const about = (id: string, name: string) =>
      `@id("${id}") forbid (principal, action, resource in Waybill::Pipeline::"${name}");`;
    const set = await read({ 'mine.cedar': `${about('a', 'orderz')} ${about('b', 'orders')}` });
    assert.deepEqual(strayNames(set, ['birdstrikes', 'orders']), [
      { policy: 'mine/a', pipeline: 'orderz', nearest: 'orders' },
    ]);
    assert.deepEqual(strayNames(set, ['orderz', 'orders']), []);
    assert.deepEqual(strayNames(set, [])[0], { policy: 'mine/a', pipeline: 'orderz', nearest: null });
  });

  it('may name other roles', async () => {
    const base = '@id("a") permit (principal in Waybill::Role::"chief", action, resource);';
    const { roles } = await read({ 'base.cedar': base, 'roles.json': '["chief", "clerk", "chief"]' });
    assert.deepEqual(roles, ['chief', 'clerk']);
    for (const wrong of ['{}', '[]', '[1]', 'chief', '[""]'])
      assert.match(
        (await issues({ 'base.cedar': base, 'roles.json': wrong }))[0]!,
        /^policies\/roles\.json: /,
      );
  });

  const wrong: [what: string, text: string, says: RegExp][] = [
    [
      'an undeclared role',
      '\n// First.\n@id("a")\npermit (\n  principal in Waybill::Role::"data-enginer",\n  action, resource);',
      /^policies\/x\.cedar:5 \(x\/a\): entity `Waybill::Role::"data-enginer"`.*valid entity eids: .*"data-engineer"/,
    ],
    [
      'an action that does not exist',
      '@id("a") permit (principal, action == Waybill::Action::"triger", resource);',
      /^policies\/x\.cedar:1 \(x\/a\): .*did you mean "trigger"\?/,
    ],
    [
      'an attribute that does not exist',
      '@id("a") forbid (principal, action, resource) when { principal.tenat == "acme" };',
      /x\/a\): .*tenat.*did you mean `tenant`/,
    ],
    [
      'an attribute that may be missing',
      '@id("a") forbid (principal, action, resource) when { principal.actor.kind == Waybill::Kind::"agent" };',
      /actor/,
    ],
    [
      'a kind that does not exist',
      '@id("a") forbid (principal, action, resource) when { principal.kind == Waybill::Kind::"agnt" };',
      /"agnt".*"agent"/,
    ],
    [
      'a label that is asked for without looking',
      '@id("a") forbid (principal, action == Waybill::Action::"store", resource) when { resource.getTag("x") == "y" };',
      /tag/,
    ],
    [
      'a condition that never holds',
      '@id("a") forbid (principal, action == Waybill::Action::"approve", resource is Waybill::Tenant);',
      /x\/a\): /,
    ],
    [
      'a single run',
      '@id("a") forbid (principal, action, resource == Waybill::Run::"orders-1");',
      /revoke its grant instead/,
    ],
    ['no name', 'permit (principal, action, resource);', /^policies\/x\.cedar:1: begin the policy with @id/],
    [
      'a name that is no name',
      '@id("a b") permit (principal, action, resource);',
      /begin the policy with @id/,
    ],
    [
      'a name twice',
      `${permit}\n${permit.replace('permit', 'forbid')}`,
      /^policies\/x\.cedar:2: line 1 has the same @id/,
    ],
    ['a template', '@id("a") permit (principal == ?principal, action, resource);', /templates/],
    [
      'what is no Cedar',
      '// One.\n@id("a")\npermit (principal, action resource);',
      /^policies\/x\.cedar:3: unexpected token/,
    ],
  ];
  for (const [what, text, says] of wrong) {
    it(`with ${what} are refused, and told where and what to write`, async () => {
      assert.match((await issues({ 'x.cedar': text }))[0]!, says);
    });
  }

  it('are told of all at once', async () => {
    const text = 'ab'
      .split('')
      .map((id) => `@id("${id}") permit (principal in Waybill::Role::"${id}", action, resource);`);
    assert.equal((await issues({ 'x.cedar': text.join('\n') })).length, 2);
  });
});
