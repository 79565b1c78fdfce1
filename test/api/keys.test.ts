import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Key } from '../../sdk/client.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

describe('the keys of the grants over HTTP', () => {
  let api: Api;
  let carol: string;
  before(async () => {
    api = await startApi();
    carol = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
  });
  after(() => api.stop());

  const list = async () =>
    ((await (await api.call('/v1/keys', { as: carol })).json()) as { items: Key[] }).items;

  it('are for the operators of the tenant that runs this Waybill', async () => {
    for (const claims of [
      { roles: ['data-engineer'] },
      { roles: ['data-steward'] },
      { sub: 'mallory', tenant: 'globex', roles: ['operator'] },
    ]) {
      const as = await api.issuer.token(claims);
      assert.equal(await codeOf(await api.call('/v1/keys', { as })), 'Forbidden');
      assert.equal(await codeOf(await api.call('/v1/keys/rotations', { as, method: 'POST' })), 'Forbidden');
    }
    assert.equal((await list()).length, 1);
  });

  it('rotate: the next one is published at once, and asking again changes nothing', async () => {
    const [first] = await list();
    assert.equal(first!.state, 'active');
    assert.equal(first!.retiredAt, null);
    const rotated = await api.call('/v1/keys/rotations', { as: carol, method: 'POST' });
    assert.equal(rotated.status, 201);
    const next = (await rotated.json()) as Key;
    assert.equal(next.state, 'next');
    const again = await api.call('/v1/keys/rotations', { as: carol, ...json({}) });
    assert.deepEqual(await again.json(), next);
    assert.deepEqual(await list(), [next, { ...first, retiredAt: next.signsFrom }]);
    const { keys } = (await (await fetch(`${api.url}/.well-known/jwks.json`)).json()) as {
      keys: { kid: string; d?: string }[];
    };
    assert.deepEqual(
      keys.map(({ kid }) => kid),
      [next.kid, first!.kid],
    );
    assert.ok(keys.every((key) => !('d' in key)));
  });

  it('leave in the audit who asked', async () => {
    const events = await api.rows(
      `SELECT tenant, actor->>'kind' AS kind, detail->>'cause' AS cause, detail->'policies'->>0 AS policy, txn FROM waybill.audit_event
       WHERE action = 'key.rotated' ORDER BY id`,
    );
    assert.deepEqual(
      events.map(({ tenant, kind, cause, policy, txn }) => [tenant, kind, cause, policy, typeof txn]),
      [
        [null, null, 'first', null, 'object'],
        ['acme', 'person', 'asked', 'base/operators', 'string'],
      ],
    );
  });
});
