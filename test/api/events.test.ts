import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { EventSourceParserStream } from 'eventsource-parser/stream';
import pg from 'pg';
import { createWaybillClient, type ProblemError, type Run } from '../../sdk/client.ts';
import { until } from '../support/until.ts';
import { type Api, json, lines, startApi } from './startApi.ts';

interface Followed {
  read(): Promise<{ done: boolean; value?: { id: string; event: string; data: string } | undefined }>;
  cancel(): Promise<void>;
}

describe('events of a run', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  async function accepted(): Promise<string> {
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    return ((await response.json()) as Run).id;
  }

  async function change(id: string, state: string): Promise<void> {
    await api.rows(
      `UPDATE waybill.run SET state = $2, started_at = coalesce(started_at, now()),
         ended_at = CASE WHEN $2 IN ('completed', 'failed') THEN now() END WHERE id = $1`,
      [id, state],
    );
    await api.rows(`SELECT pg_notify('waybill_run', $1)`, [id]);
  }

  async function follow(id: string, headers: Record<string, string> = {}, as?: string): Promise<Followed> {
    const response = await api.call(`/v1/runs/${id}/events`, { headers, ...(as && { as }) });
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const events = response
      .body!.pipeThrough(new TextDecoderStream() as never)
      .pipeThrough(new EventSourceParserStream() as never) as ReadableStream<{
      id: string;
      event: string;
      data: string;
    }>;
    return events.getReader();
  }

  it('nothing is shown any more to a token that has expired', async () => {
    const id = await accepted();
    // On a busy machine the shortest of these tokens expires before it is used.
    async function following(lifetimeS: number): Promise<{ exp: number; events: Followed }> {
      const exp = Math.floor(Date.now() / 1000) + lifetimeS;
      const as = await api.issuer.token({ exp });
      if ((await api.call(`/v1/runs/${id}`, { as })).status === 401) return following(2 * lifetimeS);
      const events = await follow(id, {}, as).catch(() => undefined);
      return events ? { exp, events } : following(2 * lifetimeS);
    }
    const { exp, events } = await following(2);
    assert.equal((await events.read()).done, false);
    assert.equal((await events.read()).done, true);
    assert.ok(Date.now() >= exp * 1000 - 50 && Date.now() < exp * 1000 + 5_000);
  });

  it('the first event is the run as it is, the last one its end', async () => {
    const id = await accepted();
    const events = await follow(id);
    const seen: [string, string, string][] = [];
    for (const next of ['running', 'completed', undefined]) {
      const { value } = await events.read();
      seen.push([value!.id, value!.event, (JSON.parse(value!.data) as Run).state]);
      if (next) await change(id, next);
    }
    assert.deepEqual(seen, [
      ['1', 'run', 'accepted'],
      ['2', 'run', 'running'],
      ['3', 'run', 'completed'],
    ]);
    assert.equal((await events.read()).done, true);
  });

  it('ids go on where the client stopped', async () => {
    const events = await follow(await accepted(), { 'last-event-id': '41' });
    assert.equal((await events.read()).value!.id, '42');
    await events.cancel();
  });

  it('clients that vanish before they are answered give their place back', async () => {
    const id = await accepted();
    const { host, port } = new URL(api.url);
    const head = `host: ${host}\r\nauthorization: Bearer ${await api.issuer.token()}`;
    async function vanish(): Promise<void> {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => {});
      await once(socket, 'connect');
      await new Promise((resolve) =>
        socket.write(`GET /v1/runs/${id}/events HTTP/1.1\r\n${head}\r\n\r\n`, resolve),
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
    }
    // No stream learns of the run while the lock is held; more callers ask than may follow at once.
    const locker = new pg.Client({ connectionString: api.postgres.superuserUrl });
    await locker.connect();
    await locker.query('BEGIN; LOCK TABLE waybill.run IN ACCESS EXCLUSIVE MODE');
    for (let asked = 0; asked < 1_100; asked += 220) await Promise.all(Array.from({ length: 220 }, vanish));
    await locker.end();
    let asked = 0;
    await until('their places are free', async () => {
      await new Promise((resolve) => setTimeout(resolve, 250));
      const response = await api.call(`/v1/runs/${id}/events`);
      await response.body?.cancel();
      return ++asked >= 8 && response.status === 200;
    });
  });

  it('a change is seen although the notification was lost with its connection', async () => {
    const id = await accepted();
    const events = await follow(id);
    await events.read();
    await api.cable.cut();
    await api.rows(`UPDATE waybill.run SET state = 'running', started_at = now() WHERE id = $1`, [id]);
    await api.cable.mend();
    assert.equal((JSON.parse((await events.read()).value!.data) as Run).state, 'running');
    await events.cancel();
  });

  it('the client uploads, follows to the end and learns codes', async () => {
    const client = createWaybillClient({ baseUrl: api.url, token: () => api.issuer.token() });
    async function* bytes() {
      for (let i = 0; i < 3; i++) yield Buffer.from(lines(7, i * 7));
    }
    const run = await client.upload('lines', bytes(), {
      mediaType: 'application/x-ndjson',
      parameters: { limit: '2' },
    });
    const states: string[] = [];
    for await (const { state } of client.followRun(run.id)) {
      states.push(state);
      if (state === 'accepted') await change(run.id, 'completed');
    }
    assert.deepEqual(states, ['accepted', 'completed']);
    assert.equal((await client.getRun(run.id)).state, 'completed');
    assert.ok((await client.listRuns({ pipeline: 'lines' })).items.some(({ id }) => id === run.id));
    await assert.rejects(client.cancelRun(run.id), (error: ProblemError) => error.code === 'RunEnded');
    await assert.rejects(
      client.trigger('nowhere', {}),
      (error: ProblemError) => error.code === 'PipelineNotFound',
    );
    await assert.rejects(
      client.upload('lines', bytes(), { mediaType: 'text/csv' }),
      (error: ProblemError) => error.code === 'UnsupportedMediaType',
    );
  });
});
