import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import pg from 'pg';
import { createOpenRuns } from '../../adapters/postgres/runs/openRuns.ts';
import type { Run } from '../../sdk/client.ts';
import { until } from '../support/until.ts';
import { type Api, codeOf, json, lines, startApi } from './startApi.ts';

describe('the input of a run in requests of its own', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  async function open(pipeline = 'lines', headers: Record<string, string> = {}): Promise<string> {
    const response = await api.call(`/v1/pipelines/${pipeline}/runs`, json({}, headers));
    assert.equal(response.status, 202, await response.clone().text());
    const run = (await response.json()) as Run;
    assert.equal(run.state, 'accepted');
    assert.match(run.links.input!, new RegExp(`/v1/runs/${run.id}/input$`));
    return run.id;
  }

  const head = (id: string) => api.call(`/v1/runs/${id}/input`, { method: 'HEAD' });
  const offsetOf = async (id: string) => Number((await head(id)).headers.get('upload-offset'));

  async function send(
    id: string,
    body: Uint8Array | string,
    fields: { offset?: number; complete?: boolean; as?: string; method?: string } & Record<
      string,
      unknown
    > = {},
  ): Promise<Response> {
    const { offset, complete, as, method = 'PATCH', ...headers } = fields;
    return api.call(`/v1/runs/${id}/input`, {
      method,
      body,
      ...(as !== undefined && { as }),
      headers: {
        'content-type': 'application/partial-upload',
        ...(offset !== undefined && { 'upload-offset': String(offset) }),
        ...(complete !== undefined && { 'upload-complete': complete ? '?1' : '?0' }),
        ...(headers as Record<string, string>),
      },
    });
  }

  /** A request that breaks off after these bytes. */
  async function breakOff(
    id: string,
    bytes: Uint8Array,
    offset: number,
    headers: Record<string, string> = {},
  ) {
    const token = await api.issuer.token();
    const sending = request(`${api.url}/v1/runs/${id}/input`, {
      method: 'PUT',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/partial-upload',
        'content-length': bytes.length + 1_000_000,
        'upload-offset': offset,
        ...headers,
      },
    });
    sending.on('error', () => {});
    const inputOf = async () =>
      (
        await api.rows<{ holder: string | null; received: number }>(
          'SELECT holder, received_bytes::int AS received FROM waybill.upload WHERE run_id = $1',
          [id],
        )
      )[0]!;
    const { holder } = await inputOf();
    sending.write(bytes);
    // What the API has not read when the connection breaks is lost.
    await until('the request is read', async () => (await inputOf()).holder !== holder || undefined, 10_000);
    await pause(20);
    sending.destroy();
    await until('it has kept that', async () => (await inputOf()).received > offset || undefined, 10_000);
    await pause(50);
  }

  /** What the batches of a run hold, in order. */
  async function pinned(id: string): Promise<Buffer> {
    const rows = await api.rows<{ digest: string; bytes: Buffer | null }>(
      'SELECT digest, bytes FROM waybill.batch WHERE run_id = $1 ORDER BY seq',
      [id],
    );
    const all = await Promise.all(
      rows.map(
        async ({ digest, bytes }) => bytes ?? api.ports.objects.get({ tenant: 'acme', runId: id }, digest),
      ),
    );
    return Buffer.concat(all);
  }

  const kindsOf = async (id: string) =>
    (
      await api.rows<{ kind: string }>('SELECT kind FROM waybill.outbox WHERE run_id = $1 ORDER BY id', [id])
    ).map(({ kind }) => kind);

  it('PUT sends all of it, and the run starts with its data', async () => {
    const id = await open();
    assert.deepEqual(await kindsOf(id), []);
    const before = await head(id);
    assert.equal(before.status, 204);
    assert.equal(before.headers.get('upload-offset'), '0');
    assert.equal(before.headers.get('upload-complete'), '?0');
    assert.match(before.headers.get('upload-limit')!, /^max-size=\d+, max-age=\d+$/);
    assert.equal(before.headers.get('cache-control'), 'no-store');
    const data = lines(25);
    const response = await send(id, data, { method: 'PUT', 'content-type': 'application/x-ndjson' });
    assert.equal(response.status, 202, await response.clone().text());
    assert.equal(((await response.json()) as Run).id, id);
    assert.deepEqual(await kindsOf(id), ['start']);
    assert.equal((await pinned(id)).toString(), data);
    const now = await head(id);
    assert.equal(now.headers.get('upload-offset'), String(data.length));
    assert.equal(now.headers.get('upload-complete'), '?1');
    assert.equal(await codeOf(await send(id, 'x', { offset: data.length })), 'UploadCompleted');
    const audit = (await (await api.call(`/v1/runs/${id}/audit`)).json()) as { items: { action: string }[] };
    assert.deepEqual(
      audit.items.map(({ action }) => action),
      ['run.accepted', 'run.upload-completed'],
    );
  });

  const rows = Array.from({ length: 60 }, (_, i) => ({ id: `r${i}`, n: i }));
  const csvText = `id,n\n${rows.map(({ id, n }) => `${id},"${n}\n"`).join('\n')}\n`;
  const inputs: [string, string, Buffer, Record<string, string>, (bytes: Buffer) => Buffer][] = [
    ['NDJSON', 'lines', Buffer.from(lines(60)), {}, (bytes) => bytes],
    ['CSV with a mark', 'cells', Buffer.from(`\ufeff${csvText}`), {}, (bytes) => bytes],
    ['a JSON array', 'items', Buffer.from(JSON.stringify(rows)), {}, (bytes) => bytes],
    ['gzip', 'lines', gzipSync(lines(60)), { 'content-encoding': 'gzip' }, (b) => gunzipSync(b)],
    [
      'zstd',
      'lines',
      zstdCompressSync(lines(60)),
      { 'content-encoding': 'zstd' },
      (b) => zstdDecompressSync(b),
    ],
  ];
  for (const [name, pipeline, bytes, headers, plain] of inputs)
    it(`${name} in pieces, of which every second breaks off, is what it was`, async () => {
      for (let round = 0; round < 4; round++) {
        const id = await open(pipeline);
        let offset = 0;
        for (let piece = 0; offset < bytes.length; piece++) {
          const size = 1 + Math.floor(Math.random() * (bytes.length / 4));
          const part = bytes.subarray(offset, offset + size);
          const complete = offset + size >= bytes.length;
          if (piece % 2 === 1 && !complete) await breakOff(id, part, offset, headers);
          else {
            const response = await send(id, part, { offset, complete, ...headers });
            assert.equal(response.status, complete ? 202 : 204, await response.clone().text());
          }
          if (piece % 2 === 0) offset += part.length;
          else assert.ok((await offsetOf(id)) <= offset + part.length);
          if (piece % 2 === 1) offset = await offsetOf(id);
          assert.equal(await offsetOf(id), offset);
        }
        const wanted = plain(bytes).toString().replace('\ufeff', '');
        const header = pipeline === 'cells' ? 'id,n\n' : '';
        assert.equal(header + (await pinned(id)).toString(), wanted);
        // Nothing is left of the parts.
        const folder = await readdir(api.objectsFolder, { recursive: true });
        assert.deepEqual(
          folder.filter((file) => file.includes(id) && /[0-9a-f]{64}$/.test(file)),
          [],
        );
      }
    });

  it('the run starts with its first batch, and a piece that ends with no byte completes it', async () => {
    const id = await open();
    const data = Buffer.from(lines(25));
    await send(id, data, { offset: 0, complete: false });
    assert.deepEqual(await kindsOf(id), ['start']);
    const response = await send(id, '', { offset: data.length, complete: true });
    assert.equal(response.status, 202);
    assert.equal((await pinned(id)).toString(), data.toString());
    assert.deepEqual(await kindsOf(id), ['start']);
  });

  it('a wrong offset is told the right one', async () => {
    const id = await open();
    await send(id, 'x'.repeat(100), { offset: 0, complete: false });
    for (const offset of [0, 99, 101]) {
      const response = await send(id, 'y', { offset, complete: false });
      assert.equal(response.status, 409);
      assert.equal(response.headers.get('upload-offset'), '100');
      const problem = (await response.json()) as Record<string, unknown>;
      assert.equal(problem.code, 'UploadOffsetMismatch');
      assert.equal(problem['expected-offset'], 100);
      assert.equal(problem['provided-offset'], offset);
    }
    assert.equal(await codeOf(await send(id, 'y', { method: 'PUT' })), 'UploadOffsetMismatch');
    assert.equal(await offsetOf(id), 100);
  });

  it('malformed fields are rejected, and change nothing', async () => {
    const id = await open();
    const wrong: Record<string, string>[] = [
      { 'upload-offset': '-1' },
      { 'upload-offset': '1e3' },
      { 'upload-offset': '0, 0' },
      { 'upload-offset': '9'.repeat(16) },
      { 'upload-offset': ' ' },
      { 'upload-offset': '0', 'upload-complete': '1' },
      { 'upload-offset': '0', 'upload-complete': '?2' },
      { 'upload-offset': '0', 'upload-length': 'x' },
      {},
    ];
    for (const headers of wrong)
      assert.equal(await codeOf(await send(id, 'x', headers)), 'InvalidRequest', JSON.stringify(headers));
    for (const type of ['text/csv', 'application/json', 'image/png'])
      assert.equal(
        await codeOf(await send(id, 'x', { offset: 0, 'content-type': type })),
        'UnsupportedMediaType',
      );
    assert.equal(
      await codeOf(await send(id, 'x', { offset: 0, 'content-encoding': 'br' })),
      'UnsupportedMediaType',
    );
    const huge = await send(id, 'x', { offset: 0, 'upload-length': '9'.repeat(20_000) });
    assert.equal(huge.status, 400);
    const asked = await api.call(`/v1/runs/${id}/input`, {
      method: 'HEAD',
      headers: { 'upload-offset': '0' },
    });
    assert.equal(asked.status, 400);
    assert.equal(await offsetOf(id), 0);
  });

  it('the length that was announced holds', async () => {
    const id = await open();
    await send(id, lines(1), { offset: 0, complete: false, 'upload-length': '1000' });
    const offset = await offsetOf(id);
    assert.equal((await head(id)).headers.get('upload-length'), '1000');
    for (const headers of [{ 'upload-length': '999' }, { complete: true }])
      assert.equal(await codeOf(await send(id, lines(1), { offset, ...headers })), 'UploadLengthMismatch');
    const tooLong = await send(id, lines(1), { offset: 0, complete: true, 'upload-length': String(2 ** 49) });
    assert.equal(await codeOf(tooLong), 'RequestTooLarge');
  });

  it('another principal may neither ask nor send, and another tenant knows nothing of it', async () => {
    const id = await open();
    const colleague = await api.issuer.token({ sub: 'bert' });
    const agent = await api.issuer.token({ act: { sub: 'copilot' } });
    for (const as of [colleague, agent]) {
      assert.equal((await api.call(`/v1/runs/${id}/input`, { method: 'HEAD', as })).status, 403);
      assert.equal(await codeOf(await send(id, 'x', { offset: 0, as })), 'Forbidden');
    }
    const stranger = await api.issuer.token({ sub: 'dave', tenant: 'globex' });
    assert.equal((await api.call(`/v1/runs/${id}/input`, { method: 'HEAD', as: stranger })).status, 404);
    assert.equal(await codeOf(await send(id, 'x', { offset: 0, as: stranger })), 'RunNotFound');
    const demoted = await api.issuer.token({ roles: ['auditor'] });
    assert.equal(await codeOf(await send(id, 'x', { offset: 0, as: demoted })), 'Forbidden');
    assert.equal(await offsetOf(id), 0);
  });

  it('a run that came with its data, or reads it itself, has no input', async () => {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const run = (await response.json()) as Run;
    assert.equal(run.links.input, undefined);
    assert.equal(await codeOf(await send(run.id, 'x', { offset: 0 })), 'NotFound');
    const inline = await api.call('/v1/pipelines/few/runs', json({}));
    assert.equal(await codeOf(inline), 'InputRequired');
    const forgotten = await api.call('/v1/pipelines/lines/runs', { method: 'POST' });
    assert.equal(await codeOf(forgotten), 'InputRequired');
  });

  it('the same request with the same key is the same run', async () => {
    const id = await open('lines', { 'idempotency-key': 'again' });
    assert.equal(await open('lines', { 'idempotency-key': 'again' }), id);
  });

  it('a later request takes the place of one that hangs', async () => {
    const id = await open();
    const token = await api.issuer.token();
    const data = Buffer.from(lines(15));
    const hanging = request(`${api.url}/v1/runs/${id}/input`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
    });
    const answer = new Promise<number>((resolve, reject) => {
      hanging.on('error', reject).on('response', (response) => resolve(response.resume().statusCode!));
    });
    hanging.write(data);
    const offset = await until('a batch is durable', async () => (await offsetOf(id)) || undefined);
    const response = await send(id, data.subarray(offset), { offset, complete: true });
    assert.equal(response.status, 202, await response.clone().text());
    assert.equal(await answer, 409);
    hanging.destroy();
    assert.equal((await pinned(id)).toString(), data.toString());
  });

  it('data of another format ends the upload', async () => {
    const id = await open('cells');
    const response = await send(id, 'other,names\n1,2\n', { method: 'PUT' });
    assert.equal(await codeOf(response), 'HeaderInvalid');
    const [row] = await api.rows('SELECT arrival FROM waybill.run WHERE id = $1', [id]);
    assert.equal(row!.arrival, 'broken');
    assert.deepEqual(await kindsOf(id), ['start']);
    assert.equal(await codeOf(await send(id, 'x', { offset: 0 })), 'RunEnded');
    const empty = await open();
    assert.equal(await codeOf(await send(empty, '\n', { method: 'PUT' })), 'InputEmpty');
  });

  it('a run that waits for its data can be cancelled, and its upload is abandoned after its deadline', async () => {
    const cancelled = await open();
    assert.equal((await api.call(`/v1/runs/${cancelled}/cancel`, { method: 'POST' })).status, 202);
    assert.deepEqual(await kindsOf(cancelled), ['start', 'cancel']);

    const id = await open('lines', { 'idempotency-key': 'late' });
    await send(id, '{"id":', { offset: 0, complete: false });
    const relay = new pg.Pool({ connectionString: api.postgres.relayUrl, max: 1 });
    try {
      const openRuns = createOpenRuns(relay);
      await api.rows(`UPDATE waybill.run SET created_at = now() - interval '1 hour' WHERE id = $1`, [id]);
      assert.equal(await openRuns.abandonUploads(), 0);
      assert.equal(await openRuns.breakSilentUploads(), 0);
      assert.deepEqual(
        (await openRuns.list('', 100)).filter(({ runId }) => runId === id),
        [],
      );
      await api.rows(`UPDATE waybill.upload SET expires_at = now() WHERE run_id = $1`, [id]);
      assert.equal((await head(id)).status, 409);
      assert.equal(await openRuns.abandonUploads(), 1);
      assert.equal(await openRuns.abandonUploads(), 0);
    } finally {
      await relay.end();
    }
    assert.deepEqual(await kindsOf(id), ['start']);
    const [left] = await api.rows('SELECT tail, parts FROM waybill.upload WHERE run_id = $1', [id]);
    assert.deepEqual(left, { tail: null, parts: [] });
    const events = await api.rows(
      `SELECT action, tenant FROM waybill.audit_event WHERE run_id = $1 ORDER BY id`,
      [id],
    );
    assert.deepEqual(events.at(-1), { action: 'run.upload-abandoned', tenant: 'acme' });
    assert.notEqual(await open('lines', { 'idempotency-key': 'late' }), id);
  });

  it('a principal may have a bounded number of uploads open', async () => {
    const as = await api.issuer.token({ sub: 'greedy' });
    const statuses = new Set<number>();
    for (let i = 0; i < 33; i++) {
      const response = await api.call('/v1/pipelines/lines/runs', { ...json({}), as });
      statuses.add(response.status);
      if (response.status !== 202) assert.equal(await codeOf(response), 'TooManyRequests');
    }
    assert.deepEqual([...statuses], [202, 429]);
  });
});
