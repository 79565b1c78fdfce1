import assert from 'node:assert/strict';
import { type ClientRequest, request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { Run } from '../../sdk/client.ts';
import { until } from '../support/until.ts';
import { type Api, codeOf, data, lines, startApi } from './startApi.ts';

describe('uploads', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  /** An upload that the test sends piece by piece. */
  async function begin(pipeline: string, headers: Record<string, string> = {}) {
    const token = await api.issuer.token();
    const sending: ClientRequest = request(`${api.url}/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson', ...headers },
    });
    const answer = new Promise<Response>((resolve, reject) => {
      sending.on('error', reject);
      sending.on('response', async (response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk);
        const headers = Object.entries(response.headers).map(
          ([name, value]) => [name, String(value)] as [string, string],
        );
        resolve(new Response(Buffer.concat(chunks), { status: response.statusCode!, headers }));
      });
    });
    answer.catch(() => {});
    return { sending, answer };
  }

  const openRun = () =>
    until(
      'it is open',
      async () =>
        (await api.rows<{ id: string }>(`SELECT id FROM waybill.run WHERE arrival = 'open'`))[0]?.id,
    );
  const batchesOf = async (id: string) =>
    (
      await api.rows<{ n: number }>('SELECT count(*)::int AS n FROM waybill.batch WHERE run_id = $1', [id])
    )[0]!.n;

  it('a run is accepted with its first batch, before the last byte is sent', async () => {
    const { sending, answer } = await begin('lines', { 'idempotency-key': 'slow' });
    sending.write(lines(12));
    const id = await openRun();
    assert.equal(await batchesOf(id), 1);
    const started = await api.rows(`SELECT kind FROM waybill.outbox WHERE run_id = $1`, [id]);
    assert.deepEqual(started, [{ kind: 'start' }]);

    const second = await api.call(
      '/v1/pipelines/lines/runs',
      data(lines(12), undefined, { 'idempotency-key': 'slow' }),
    );
    assert.equal(second.status, 409);
    assert.equal(second.headers.get('retry-after'), '1');
    assert.equal(await codeOf(second), 'IdempotencyKeyInUse');

    sending.write(lines(10, 12));
    await until('two batches are there', async () => (await batchesOf(id)) === 2);
    sending.end(lines(1, 22));
    const run = (await (await answer).json()) as Run;
    assert.equal(run.id, id);
    assert.equal(await batchesOf(id), 3);
    const [row] = await api.rows('SELECT arrival FROM waybill.run WHERE id = $1', [id]);
    assert.equal(row?.arrival, 'sealed');

    const again = await api.call(
      '/v1/pipelines/lines/runs',
      data(lines(23), undefined, { 'idempotency-key': 'slow' }),
    );
    assert.equal(((await again.json()) as Run).id, id);
    const other = await api.call(
      '/v1/pipelines/lines/runs',
      data(lines(24), undefined, { 'idempotency-key': 'slow' }),
    );
    assert.equal(await codeOf(other), 'IdempotencyKeyReused');
  });

  it('a client that vanishes before the first batch leaves a failed run and a free key', async () => {
    const { sending } = await begin('lines', { 'idempotency-key': 'early' });
    sending.write(lines(3));
    await new Promise<void>((resolve) => sending.write(lines(1, 3), () => resolve()));
    sending.destroy();
    const run = await until(
      'it has failed',
      async () => (await api.rows(`SELECT id, reason, counts FROM waybill.run WHERE state = 'failed'`))[0],
    );
    assert.equal((run.reason as { code: string }).code, 'UploadIncomplete');
    assert.deepEqual(await api.rows('SELECT id FROM waybill.outbox WHERE run_id = $1', [run.id]), []);
    const seen = (await (await api.call(`/v1/runs/${run.id}`)).json()) as Run;
    assert.equal(seen.state, 'failed');
    const again = await api.call(
      '/v1/pipelines/lines/runs',
      data(lines(4), undefined, { 'idempotency-key': 'early' }),
    );
    assert.equal(again.status, 202);
  });

  it('a client that vanishes after the first batch leaves a broken upload and a free key', async () => {
    const { sending } = await begin('lines', { 'idempotency-key': 'late' });
    sending.write(lines(12));
    const id = await openRun();
    sending.destroy();
    await until(
      'it is broken',
      async () => (await api.rows(`SELECT FROM waybill.run WHERE id = $1 AND arrival = 'broken'`, [id]))[0],
    );
    const audit = (await (await api.call(`/v1/runs/${id}/audit`)).json()) as { items: { action: string }[] };
    assert.deepEqual(
      audit.items.map(({ action }) => action),
      ['run.accepted', 'run.upload-broken'],
    );
    const again = await api.call(
      '/v1/pipelines/lines/runs',
      data(lines(4), undefined, { 'idempotency-key': 'late' }),
    );
    assert.equal(again.status, 202);
  });

  it('an upload that others declared broken cannot go on', async () => {
    const { sending, answer } = await begin('lines');
    sending.write(lines(12));
    const id = await openRun();
    await api.rows(`UPDATE waybill.run SET arrival = 'broken' WHERE id = $1`, [id]);
    sending.end(lines(1, 12));
    assert.equal(await codeOf(await answer), 'UploadIncomplete');
  });

  it('data may be compressed, and the key of a request stands for it as it was sent', async () => {
    for (const [encoding, compress] of [
      ['gzip', gzipSync],
      ['zstd', zstdCompressSync],
    ] as const) {
      const headers = { 'content-encoding': encoding, 'idempotency-key': encoding };
      const send = (more: object = {}) =>
        api.call('/v1/pipelines/lines/runs', data(compress(lines(25)), undefined, { ...headers, ...more }));
      const { id } = (await (await send()).json()) as Run;
      assert.equal(await batchesOf(id), 3);
      assert.equal(((await (await send()).json()) as Run).id, id);
      const plain = data(lines(25), undefined, { 'idempotency-key': encoding });
      assert.equal(await codeOf(await api.call('/v1/pipelines/lines/runs', plain)), 'IdempotencyKeyReused');
      const cut = compress(lines(25)).subarray(0, -5);
      const key = { 'idempotency-key': `${encoding}-cut` };
      const broken = data(cut, undefined, { ...headers, ...key });
      assert.equal(await codeOf(await api.call('/v1/pipelines/lines/runs', broken)), 'DecompressionFailed');
    }
  });

  it('compressed data that grows beyond all measure is refused', async () => {
    const bomb = gzipSync(Buffer.alloc(128 * 1024 * 1024, 'x'));
    const sent = data(bomb, undefined, { 'content-encoding': 'gzip' });
    assert.equal(await codeOf(await api.call('/v1/pipelines/lines/runs', sent)), 'DecompressedTooLarge');
  });

  it('a CSV with a header and no rows is accepted as no records', async () => {
    const response = await api.call('/v1/pipelines/cells/runs', data('id,n\n', 'text/csv'));
    assert.equal(response.status, 202);
    const { id } = (await response.json()) as Run;
    assert.equal(await batchesOf(id), 0);
    assert.deepEqual(await api.rows('SELECT arrival FROM waybill.run WHERE id = $1', [id]), [
      { arrival: 'sealed' },
    ]);
  });

  it('a refusal reaches a client that is still sending', async () => {
    const { sending, answer } = await begin('cells', { 'content-type': 'text/csv' });
    sending.write('id,id\n');
    assert.equal(await codeOf(await answer), 'HeaderInvalid');
    sending.destroy();
  });

  it('an invalid token is refused before a byte of the body is read', async () => {
    const { sending, answer } = await begin('lines', { authorization: 'Bearer x' });
    sending.flushHeaders();
    assert.equal(await codeOf(await answer), 'Unauthenticated');
    sending.destroy();
  });
});
