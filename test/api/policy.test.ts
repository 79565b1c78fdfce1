import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createPolicyEngine } from '../../adapters/policy/engine.ts';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import type { Policy } from '../../domain/policies/policy.ts';
import { definitions } from './pipelines.ts';
import { type Api, changingPolicy, codeOf, json, startApi } from './startApi.ts';

const few = '/v1/pipelines/few/runs';
const records = json({ records: [{ id: 'a' }] });

/** The shipped set, and only a steward reads what is secret. */
const withSecrets = {
  'secrets/stewards-only': `forbid (principal, action == Waybill::Action::"read", resource)
    when { resource.hasTag("secret") } unless { principal in Waybill::Role::"data-steward" };`,
};

describe('what the policy lets a caller do', () => {
  let api: Api;
  let inForce: Policy;
  let stricter: Policy;
  let gone: string | undefined;
  let secret: string | undefined;

  before(async () => {
    const shipped = await readPolicies();
    inForce = createPolicyEngine(shipped);
    stricter = createPolicyEngine({ ...shipped, policies: { ...shipped.policies, ...withSecrets } });
    const policy = changingPolicy(() => inForce);
    const find = (id: string) => {
      const found = id === gone ? undefined : definitions.find(id);
      if (!found || id !== secret) return found;
      return { ...found, manifest: { ...found.manifest, labels: { secret: 'yes' } } };
    };
    const list = () => definitions.list().flatMap(({ manifest }) => find(manifest.id) ?? []);
    api = await startApi({ change: () => ({ policy, definitions: { ...definitions, find, list } }) });
  });
  after(() => api.stop());

  const tokens = {
    alice: () => api.issuer.token(),
    bob: () => api.issuer.token({ sub: 'bob', roles: ['data-steward'] }),
    unknownRole: () => api.issuer.token({ sub: 'ned', roles: ['of-no-meaning'] }),
  };
  const as = async (name: keyof typeof tokens, path: string, init: RequestInit = {}) =>
    api.call(path, { as: await tokens[name](), ...init });
  const runIdsOf = async (name: keyof typeof tokens, query: string) => {
    const { items, nextCursor } = (await (await as(name, `/v1/runs?${query}`)).json()) as {
      items: { id: string }[];
      nextCursor: string | null;
    };
    return { ids: items.map(({ id }) => id), nextCursor };
  };
  const begin = async (name: keyof typeof tokens, path = few) => {
    const response = await as(name, path, records);
    assert.equal(response.status, 202);
    return ((await response.json()) as { id: string }).id;
  };

  it('a caller who may trigger, but may not run the steps, starts no run that would only wait', async () => {
    const withoutStore = `forbid (principal, action == Waybill::Action::"store", resource);`;
    const shipped = await readPolicies();
    const before = inForce;
    inForce = createPolicyEngine({
      ...shipped,
      policies: { ...shipped.policies, 'stores/none': withoutStore },
    });
    try {
      const response = await as('alice', few, records);
      assert.equal(response.status, 403);
      const { denied } = (await response.json()) as { denied: { action: string; resource: string } };
      assert.deepEqual([denied.action, denied.resource], ['store', 'pipeline few']);
    } finally {
      inForce = before;
    }
  });

  it('a denied caller learns action, resource and which role to ask, and nothing more', async () => {
    const response = await as('bob', few, records);
    assert.equal(response.status, 403);
    const { denied, traceId, ...problem } = (await response.json()) as Record<string, unknown>;
    assert.deepEqual(denied, {
      action: 'trigger',
      resource: 'pipeline few',
      ask: 'a principal with the role operator in acme',
    });
    assert.deepEqual(problem, {
      type: 'urn:waybill:error:Forbidden',
      title: 'Your roles do not allow this. Ask an administrator of your tenant.',
      status: 403,
      code: 'Forbidden',
    });
    const [event] = await api.rows('SELECT * FROM waybill.audit_event WHERE txn = $1', [traceId]);
    assert.equal(event?.action, 'access.denied');
    assert.deepEqual(event!.detail, {
      action: 'trigger',
      resource: 'pipeline',
      pipeline: 'few',
      policies: [],
      policyDigest: inForce.digest,
    });
  });

  it('names the pipeline that was meant, of those alone that may be read', async () => {
    const meant = async (name: 'alice' | 'bob', id: string) => {
      const problem = await (await as(name, `/v1/pipelines/${id}`)).json();
      const { code, issues } = problem as { code: string; issues?: { message: string }[] };
      return [code, issues?.[0]?.message];
    };
    assert.deepEqual(await meant('alice', 'feww'), ['PipelineNotFound', 'Did you mean few?']);
    assert.deepEqual(await meant('alice', 'elsewhere'), ['PipelineNotFound', undefined]);
    const before = inForce;
    secret = 'few';
    inForce = stricter;
    try {
      assert.deepEqual(await meant('bob', 'feww'), ['PipelineNotFound', 'Did you mean few?']);
      assert.deepEqual(await meant('alice', 'feww'), ['PipelineNotFound', undefined]);
    } finally {
      secret = undefined;
      inForce = before;
    }
  });

  it('an undeclared role permits nothing', async () => {
    for (const path of ['/v1/runs', '/v1/pipelines', '/v1/pipelines/few'])
      assert.equal(await codeOf(await as('unknownRole', path)), 'Forbidden', path);
  });

  it('what was allowed names the policies and the set that allowed it', async () => {
    const id = await begin('alice');
    await as('bob', `/v1/runs/${id}/cancel`, { method: 'POST' });
    const events = await api.rows<{ action: string; detail: Record<string, unknown> }>(
      'SELECT action, detail FROM waybill.audit_event WHERE run_id = $1 ORDER BY id',
      [id],
    );
    assert.deepEqual(
      events.map(({ action, detail: { policies, policyDigest } }) => [action, policies, policyDigest]),
      [
        ['run.accepted', ['base/data-engineers'], inForce.digest],
        ['run.cancel-requested', ['base/data-stewards'], inForce.digest],
      ],
    );
  });

  it('lists hold only what may be read, and pages are filled', async () => {
    const open = [await begin('alice'), await begin('alice')].reverse();
    secret = 'few';
    const hidden = [await begin('alice'), await begin('alice'), await begin('alice')].reverse();
    inForce = stricter;
    try {
      const first = await runIdsOf('alice', 'limit=2');
      assert.deepEqual(first.ids, open);
      assert.deepEqual((await runIdsOf('bob', 'limit=3')).ids, hidden);
      for (const path of ['', '/events', '/audit'])
        assert.equal(await codeOf(await as('alice', `/v1/runs/${hidden[0]}${path}`)), 'Forbidden');
      const listed = async (name: 'alice' | 'bob') => {
        const { items } = (await (await as(name, '/v1/pipelines')).json()) as { items: { id: string }[] };
        return items.some(({ id }) => id === 'few');
      };
      assert.deepEqual([await listed('alice'), await listed('bob')], [false, true]);
      // The labels of a run are those it was accepted with, whatever the project says now.
      secret = undefined;
      assert.deepEqual((await runIdsOf('alice', 'limit=2')).ids, open);
      gone = 'few';
      assert.deepEqual((await runIdsOf('alice', 'limit=2')).ids, open);
      assert.equal((await as('alice', `/v1/runs/${open[0]}`)).status, 200);
    } finally {
      [gone, secret, inForce] = [undefined, undefined, createPolicyEngine(await readPolicies())];
    }
  });

  it('only administrators are told why, and what would be needed', async () => {
    const carol = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
    const question = {
      principal: { roles: ['data-steward'] },
      action: 'trigger',
      resource: { kind: 'pipeline', id: 'few' },
    };
    const ask = (as: string, body: unknown) => api.call('/v1/policy/explanations', { as, ...json(body) });
    const answer = await ask(carol, question);
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), {
      allowed: false,
      digest: inForce.digest,
      permits: [],
      forbids: [],
      errors: [],
      roles: ['data-engineer'],
      changes: [],
    });
    const allowed = await ask(carol, { ...question, principal: { roles: ['data-engineer'] } });
    const { permits } = (await allowed.json()) as { permits: { id: string; text: string }[] };
    assert.match(permits[0]!.text, /^@id\("data-engineers"\)\npermit/);
    assert.equal(await codeOf(await ask(await tokens.bob(), question)), 'Forbidden');
    const nowhere = { ...question, resource: { kind: 'pipeline', id: 'nowhere' } };
    assert.equal(await codeOf(await ask(carol, nowhere)), 'PipelineNotFound');
    for (const wrong of [{ ...question, action: 'fly' }, { ...question, tenant: 'globex' }, {}])
      assert.equal(await codeOf(await ask(carol, wrong)), 'InvalidRequest');
    // Only acme operates this instance.
    const dave = await api.issuer.token({ sub: 'dave', tenant: 'globex', roles: ['operator'] });
    const instance = {
      principal: { roles: ['operator'] },
      action: 'administer',
      resource: { kind: 'instance' },
    };
    const { forbids } = (await (await ask(dave, instance)).json()) as { forbids: { id: string }[] };
    assert.deepEqual(
      forbids.map(({ id }) => id),
      ['boundary/own-tenant-only'],
    );
  });

  it('who follows a run no longer does once they may not read it', async () => {
    secret = 'few';
    const id = await begin('alice');
    const events = await as('alice', `/v1/runs/${id}/events`);
    const stream = events.body!.getReader();
    assert.match(Buffer.from((await stream.read()).value!).toString(), /"state":"accepted"/);
    inForce = stricter;
    await as('bob', `/v1/runs/${id}/cancel`, { method: 'POST' });
    await api.rows(`UPDATE waybill.run SET state = 'cancelled', ended_at = now() WHERE id = $1`, [id]);
    await api.rows(`SELECT pg_notify('waybill_run', $1)`, [id]);
    const { value, done } = await stream.read();
    assert.deepEqual([value, done], [undefined, true], 'not even its end');
    secret = undefined;
  });
});
