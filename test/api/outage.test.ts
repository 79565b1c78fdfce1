import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WaybillError } from '../../domain/errors.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('while PostgreSQL is away', () => {
  let api: Api;
  before(async () => {
    api = await startApi({ answerWithinMs: 1_000 });
  });
  after(() => api.stop());

  const requests: Record<string, () => Promise<Response>> = {
    'an envelope': () => api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] })),
    'an envelope with a key': () =>
      api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }, { 'idempotency-key': 'k' })),
    'an upload': () => api.call('/v1/pipelines/lines/runs', data(lines(30))),
    'a list': () => api.call('/v1/runs'),
    readiness: () => api.call('/readyz'),
  };

  for (const [how, away] of [
    ['ended', () => api.cable.cut()],
    ['stopped', async () => api.cable.stall()],
  ] as const) {
    it(`callers learn it at once when the server has ${how}, and nothing is half done`, async () => {
      assert.equal((await api.call('/readyz')).status, 200);
      await away();
      const begun = performance.now();
      await Promise.all(
        Object.entries(requests).map(async ([what, send]) => {
          const response = await send();
          assert.equal(response.status, 503, what);
          assert.equal(response.headers.get('retry-after'), '1');
          assert.equal(await codeOf(response), 'DatabaseUnavailable', what);
        }),
      );
      assert.ok(performance.now() - begun < 10_000);
      assert.equal((await api.call('/healthz')).status, 200);
      await api.cable.cut();
      await api.cable.mend();
      for (const table of ['run', 'batch', 'outbox', 'idempotency'])
        assert.deepEqual(await api.rows(`SELECT * FROM waybill.${table}`), [], table);
      // That a policy was applied is of no tenant.
      assert.deepEqual(await api.rows('SELECT * FROM waybill.audit_event WHERE tenant IS NOT NULL'), []);
      assert.equal((await requests['an envelope']!()).status, 202);
      await api.rows(
        'TRUNCATE waybill.run, waybill.outbox, waybill.idempotency, waybill.audit_event CASCADE',
      );
    });
  }

  it('a denial that cannot be audited is no admission', async () => {
    await api.cable.cut();
    const as = await api.issuer.token({ roles: [] });
    assert.equal(await codeOf(await api.call('/v1/pipelines', { as })), 'DatabaseUnavailable');
    await api.cable.mend();
  });
});

describe('while objects cannot be kept', () => {
  it('nothing is accepted, and an upload under way is broken off', async () => {
    let full = false;
    const api = await startApi({
      change: ({ objects }) => ({
        receiver: {
          receive(scope, input, bytes) {
            const reception = createReceiver(objects).receive(scope, input, bytes);
            async function* untilFull() {
              for await (const batch of reception) {
                if (full) throw new WaybillError('StorageUnavailable');
                yield batch;
                full = true;
              }
            }
            return { ...reception, [Symbol.asyncIterator]: untilFull };
          },
        },
      }),
    });
    try {
      async function* slowly() {
        yield Buffer.from(lines(12));
        yield Buffer.from(lines(12, 12));
      }
      const broken = await api.call('/v1/pipelines/lines/runs', data(ReadableStream.from(slowly()) as never));
      assert.equal(await codeOf(broken), 'StorageUnavailable');
      assert.deepEqual(await api.rows('SELECT arrival FROM waybill.run'), [{ arrival: 'broken' }]);
      assert.equal(
        await codeOf(await api.call('/v1/pipelines/lines/runs', data(lines(1)))),
        'StorageUnavailable',
      );
      assert.equal((await api.rows('SELECT FROM waybill.run')).length, 1);
    } finally {
      await api.stop();
    }
  });
});
