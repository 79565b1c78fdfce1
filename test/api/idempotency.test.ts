import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { Run } from '../../sdk/client.ts';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('Idempotency-Key', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  const key = (value: string) => ({ 'idempotency-key': value });
  const path = (pipeline: string, query = '') => `/v1/pipelines/${pipeline}/runs${query}`;
  const idOf = async (response: Response) => {
    const run = (await response.json()) as Run;
    assert.equal(response.status, 202, JSON.stringify(run));
    return run.id;
  };

  it('1,000 concurrent identical posts make one run', async () => {
    const as = await api.issuer.token();
    const init = json({ records: [{ id: 'a' }] }, key('thousand'));
    const ids = await Promise.all(
      Array.from({ length: 1_000 }, async () => idOf(await api.call(path('few'), { as, ...init }))),
    );
    assert.equal(new Set(ids).size, 1);
    assert.equal((await api.rows('SELECT FROM waybill.run')).length, 1);
    assert.equal((await api.rows('SELECT FROM waybill.outbox')).length, 1);
    assert.equal((await api.rows(`SELECT FROM waybill.audit_event WHERE action = 'run.accepted'`)).length, 1);
    const files = await readdir(api.objectsFolder, { recursive: true, withFileTypes: true });
    assert.equal(
      files.filter((file) => file.isFile()).length,
      0,
      'the one batch is small, and so in its row',
    );
    assert.equal((await api.rows('SELECT FROM waybill.batch')).length, 1);
  });

  it('the same upload is the same run, read again to its last byte', async () => {
    const send = () => api.call(path('lines', '?limit=1'), data(lines(30), undefined, key('upload')));
    assert.equal(await idOf(await send()), await idOf(await send()));
  });

  it('the same request to a pipeline that reads by itself is the same run', async () => {
    const send = () => api.call(path('urls'), json({}, key('pulled')));
    assert.equal(await idOf(await send()), await idOf(await send()));
  });

  const first = data(lines(3), undefined, key('other'));
  for (const [what, query, init] of [
    ['another body', '', data(lines(4), undefined, key('other'))],
    ['another parameter', '?limit=1', first],
    ['another way to send it', '', json({ records: [{ id: 'r0' }] }, key('other'))],
  ] as const) {
    it(`the key with ${what} is refused`, async () => {
      await idOf(await api.call(path('lines'), first));
      assert.equal(await codeOf(await api.call(path('lines', query), init)), 'IdempotencyKeyReused');
    });
  }

  it('a key belongs to one principal, one tenant and one pipeline', async () => {
    const init = json({ records: [{ id: 'a' }] }, key('mine'));
    const ids = await Promise.all([
      api.call(path('few'), init).then(idOf),
      api.call(path('lines'), init).then(idOf),
      api.issuer.token({ sub: 'bob' }).then(async (as) => idOf(await api.call(path('few'), { as, ...init }))),
      api.issuer
        .token({ tenant: 'globex' })
        .then(async (as) => idOf(await api.call(path('few'), { as, ...init }))),
    ]);
    assert.equal(new Set(ids).size, 4);
  });

  it('a refused request leaves its key free', async () => {
    assert.equal(await codeOf(await api.call(path('lines'), data('', undefined, key('free')))), 'InputEmpty');
    await idOf(await api.call(path('lines'), data(lines(1), undefined, key('free'))));
  });
});
