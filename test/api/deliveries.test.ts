import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Api, codeOf, json, startApi } from './startApi.ts';

interface Shown {
  id: string;
  state: string;
  to: string;
  run: string;
  attempts: number;
  links: { run: string };
}

describe('deliveries over HTTP', () => {
  let api: Api;
  let of: { acme: string; globex: string; auditor: string };
  let dead: string;
  let deadRun: string;

  const url = 'http://127.0.0.1:9/hook?token=secret';
  const trigger = (callback: unknown, as = of.acme) =>
    api.call('/v1/pipelines/few/runs', { ...json({ records: [{ id: 'a' }], callback }), as });

  /** An event of a new run, given up. */
  async function addDead(as = of.acme): Promise<{ id: string; runId: string }> {
    const { id: runId, tenant } = (await (await trigger({ url }, as)).json()) as {
      id: string;
      tenant: string;
    };
    const id = await api.addDelivery({ id: runId, tenant }, 'dead-lettered');
    return { id, runId };
  }

  before(async () => {
    api = await startApi();
    of = {
      acme: await api.issuer.token(),
      globex: await api.issuer.token({ sub: 'dave', tenant: 'globex' }),
      auditor: await api.issuer.token({ sub: 'ann', roles: ['auditor'] }),
    };
    ({ id: dead, runId: deadRun } = await addDead());
    await addDead(of.globex);
  });
  after(() => api?.stop());

  it('a run keeps where to call back, with the links that will be told', async () => {
    const run = (await (await trigger({ url: 'https://HOOKS.example/a?b=1' })).json()) as { id: string };
    const [{ callback }] = (await api.rows('SELECT callback FROM waybill.run WHERE id = $1', [run.id])) as [
      { callback: { url: string; links: Record<string, string> } },
    ];
    assert.equal(callback.url, 'https://hooks.example/a?b=1');
    assert.deepEqual(Object.keys(callback.links).sort(), ['audit', 'events', 'self']);
    assert.equal(JSON.stringify(run).includes('hooks.example'), false, 'and does not show it');
  });

  it('the API rejects a URL that may not be called, and accepts nothing', async () => {
    const runs = async () => (await api.rows('SELECT FROM waybill.run')).length;
    const before = await runs();
    for (const bad of [
      'http://hooks.example/',
      'https://127.0.0.1/',
      'https://2130706433/',
      'https://[::ffff:7f00:1]/',
      'https://169.254.169.254/',
      'https://user:pass@hooks.example/',
      'http://127.0.0.1:10/',
    ])
      assert.equal(await codeOf(await trigger({ url: bad })), 'CallbackRefused', bad);
    assert.equal(await runs(), before);
  });

  it('are listed for their tenant alone, without what in the URL may be a secret', async () => {
    const { items } = (await (await api.call('/v1/deliveries', { as: of.acme })).json()) as {
      items: Shown[];
    };
    assert.deepEqual(
      items.map(({ id }) => id),
      [dead],
    );
    assert.deepEqual([items[0]!.to, items[0]!.run, items[0]!.attempts], ['http://127.0.0.1:9', deadRun, 17]);
    assert.equal(JSON.stringify(items).includes('secret'), false);
    const found = async (query: string) =>
      ((await (await api.call(`/v1/deliveries?${query}`, { as: of.acme })).json()) as { items: Shown[] })
        .items.length;
    assert.deepEqual(
      [
        await found(`run=${deadRun}`),
        await found('run=other'),
        await found('state=dead-lettered'),
        await found('state=pending'),
      ],
      [1, 0, 1, 0],
    );
    assert.equal(await codeOf(await api.call('/v1/deliveries?state=lost')), 'InvalidRequest');
  });

  it('of another tenant are not there, to look at or to send again', async () => {
    assert.equal((await api.call(`/v1/deliveries/${dead}`, { as: of.acme })).status, 200);
    for (const [path, init] of [
      [`/v1/deliveries/${dead}`, {}],
      [`/v1/deliveries/${dead}/redeliver`, { method: 'POST' }],
      ['/v1/deliveries/dlv_0197f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b', {}],
      ['/v1/deliveries/%00', {}],
    ] as const)
      assert.equal(await codeOf(await api.call(path, { ...init, as: of.globex })), 'DeliveryNotFound');
    const [row] = await api.rows('SELECT state FROM waybill.delivery WHERE id = $1', [dead]);
    assert.equal(row!.state, 'dead-lettered');
  });

  it('are sent again for a caller who may resume, and not for one who may only read', async () => {
    const { id } = await addDead();
    const again = (as: string) => api.call(`/v1/deliveries/${id}/redeliver`, { method: 'POST', as });
    assert.equal((await api.call(`/v1/deliveries/${id}`, { as: of.auditor })).status, 200);
    assert.equal(await codeOf(await again(of.auditor)), 'Forbidden');
    const answer = await again(of.acme);
    assert.equal(answer.status, 202);
    const shown = (await answer.json()) as Shown;
    assert.deepEqual([shown.state, shown.attempts], ['pending', 0]);
    assert.equal(await codeOf(await again(of.acme)), 'DeliveryPending');
    const due = await api.rows('SELECT round FROM waybill.delivery WHERE id = $1 AND start_at <= now()', [
      id,
    ]);
    assert.deepEqual(due, [{ round: 2 }]);
    const audited = await api.rows(
      `SELECT action, outcome FROM waybill.audit_event WHERE detail->>'delivery' = $1 OR detail->>'action' = 'resume' ORDER BY id`,
      [id],
    );
    assert.deepEqual(audited, [
      { action: 'access.denied', outcome: 'denied' },
      { action: 'delivery.redelivery-requested', outcome: 'success' },
    ]);
  });

  it('are verified by public keys, one set for each tenant', async () => {
    const keysOf = async (tenant: string) => {
      const response = await fetch(`${api.url}/.well-known/webhook-keys/${tenant}`);
      assert.equal(response.status, 200);
      return (await response.json()) as { keys: Record<string, string>[] };
    };
    const acme = await keysOf('acme');
    assert.deepEqual(await keysOf('acme'), acme);
    assert.notDeepEqual(await keysOf('globex'), acme);
    const [{ kty, crv, whpk, d }] = acme.keys as [Record<string, string>];
    assert.deepEqual([kty, crv, d], ['OKP', 'Ed25519', undefined]);
    assert.match(whpk!, /^whpk_[A-Za-z0-9+/]{43}=$/);

    const operator = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
    const rotated = await api.call('/v1/webhook-keys/rotations', { method: 'POST', as: operator });
    assert.equal(rotated.status, 201);
    const both = await keysOf('acme');
    assert.deepEqual([both.keys.length, both.keys.some((key) => key.whpk === whpk)], [2, true]);
    const audited = await api.rows(
      `SELECT outcome FROM waybill.audit_event WHERE action = 'webhook-key.rotated'`,
    );
    assert.equal(audited.length, 1);
  });
});
