import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Api, codeOf, json, startApi } from './startApi.ts';

interface Hold {
  run: string;
  reason: string;
  placedBy: { subject: string } | null;
  inputRemovedAt: string | null;
}

describe('legal holds', () => {
  let api: Api;
  let carol: string;
  before(async () => {
    api = await startApi();
    carol = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
  });
  after(() => api.stop());

  const newRun = async () => {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    return ((await response.json()) as { id: string }).id;
  };
  const hold = (run: string, reason: string, as = carol) =>
    api.call(`/v1/runs/${run}/hold`, { ...json({ reason }), as });
  const lift = (run: string, as = carol) => api.call(`/v1/runs/${run}/hold`, { method: 'DELETE', as });
  const held = async (query = '', as = carol) =>
    (await (await api.call(`/v1/legal-holds${query}`, { as })).json()) as {
      items: Hold[];
      nextCursor: string | null;
    };

  it('lie on a run until they are lifted; the first reason stays', async () => {
    const run = await newRun();
    const placed = (await (await hold(run, 'case 1')).json()) as Hold;
    assert.deepEqual(
      [placed.run, placed.reason, placed.placedBy?.subject, placed.inputRemovedAt],
      [run, 'case 1', 'carol', null],
    );
    assert.equal(((await (await hold(run, 'case 2')).json()) as Hold).reason, 'case 1');
    assert.deepEqual((await held()).items, [placed]);
    for (let n = 0; n < 2; n++) assert.equal((await lift(run)).status, 204);
    assert.deepEqual(await held(), { items: [], nextCursor: null });
    const audit = await api.call(`/v1/runs/${run}/audit`);
    const { items } = (await audit.json()) as { items: { action: string }[] };
    assert.deepEqual(
      items.map(({ action }) => action).filter((action) => /held|released/.test(action)),
      ['run.held', 'run.released'],
    );
  });

  it('are listed page by page', async () => {
    const runs = [await newRun(), await newRun()].sort();
    for (const run of runs) await hold(run, 'case 1');
    const first = await held('?limit=1');
    assert.deepEqual([first.items[0]!.run, first.nextCursor], [runs[0], runs[0]]);
    const second = await held(`?limit=1&cursor=${first.nextCursor}`);
    assert.deepEqual([second.items[0]!.run, second.nextCursor], [runs[1], null]);
  });

  it('are for operators of the tenant', async () => {
    const run = await newRun();
    const engineer = await api.issuer.token({ sub: 'alice' });
    const elsewhere = await api.issuer.token({ sub: 'dave', tenant: 'globex', roles: ['operator'] });
    assert.equal(await codeOf(await hold(run, 'case 1', engineer)), 'Forbidden');
    assert.equal(await codeOf(await hold(run, 'case 1', elsewhere)), 'RunNotFound');
    await hold(run, 'case 1');
    assert.equal((await lift(run, elsewhere)).status, 204);
    assert.ok((await held()).items.some((one) => one.run === run));
    assert.deepEqual((await held('', elsewhere)).items, []);
  });
});
