import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type Route, routeTable } from '../../api/routeTable.ts';
import type { Run } from '../../sdk/client.ts';
import { type Api, codeOf, data, json, startApi } from './startApi.ts';

describe('the bounds of the API', () => {
  let api: Api;
  let token: string;
  before(async () => {
    api = await startApi();
    token = await api.issuer.token();
  });
  after(() => api.stop());

  const runsOf = (pipeline: string) => `/v1/pipelines/${pipeline}/runs`;

  /** Sends requests on one connection, without waiting for answers. */
  async function send(...requests: string[]): Promise<Socket> {
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write(requests.join(''));
    return socket;
  }

  /** Of requests on one connection, in their order. */
  async function answersTo(requests: string[]): Promise<string[]> {
    const last = requestOf('GET', '/healthz', ['connection: close']);
    const socket = await send(...requests, last);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk);
    return Buffer.concat(chunks)
      .toString()
      .split(/(?=HTTP\/1\.1 )/)
      .slice(0, -1);
  }

  function requestOf(method: string, path: string, headers: string[] = [], body = ''): string {
    const lines = [`${method} ${path} HTTP/1.1`, 'host: api', `authorization: Bearer ${token}`, ...headers];
    return `${lines.join('\r\n')}\r\n\r\n${body}`;
  }

  it('each private answer may be neither stored nor read as another type', async () => {
    const answers = [
      await api.call('/v1/runs'),
      await api.call('/v1/runs/nowhere'),
      await api.call('/v1/nowhere'),
      await api.call('/v1/runs/%ff'),
      await api.call('/v1/runs', { as: 'nonsense' }),
      await api.call(runsOf('few'), json({ records: [{ id: 'a' }] })),
      await api.call('/healthz'),
    ];
    for (const { headers, url } of answers)
      assert.deepEqual(
        [headers.get('cache-control'), headers.get('x-content-type-options')],
        ['no-store', 'nosniff'],
        url,
      );
    const keys = await api.call('/.well-known/jwks.json');
    assert.equal(keys.headers.get('cache-control'), 'public, max-age=30');
  });

  it('two Content-Type headers are rejected', async () => {
    const headers = ['content-type: application/json', 'content-type: text/csv', 'content-length: 2'];
    const socket = await send(requestOf('POST', runsOf('few'), headers, '{}'));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    assert.match(answer.toString(), /^HTTP\/1\.1 400 [\s\S]*"code":"InvalidRequest"[\s\S]*content-type/);
  });

  const routes: [string, Route][] = Object.entries(routeTable);
  for (const [name, { method, path }] of routes)
    it(`no other form of the path reaches ${name}`, async () => {
      const sent = path.replace(/:\w+/g, 'x');
      const odd = new Set([
        `${sent}/`,
        `/${sent}`,
        `${sent}//`,
        sent.replace(/\/([^/]*)$/, '//$1'),
        sent.replace(/[a-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`),
        sent.replace(/[a-z]/, (letter) => letter.toUpperCase()),
        `${sent};a=b`,
        ...(path.includes(':') ? [path.replace(/:\w+/g, '')] : []),
      ]);
      // A suffix of an id is another id.
      if (/:\w+$/.test(path)) odd.delete(`${sent};a=b`);
      const answers = await answersTo([...odd].map((one) => requestOf(method, one, ['content-length: 0'])));
      assert.equal(answers.length, odd.size);
      for (const [i, one] of [...odd].entries()) assert.match(answers[i]!, /^HTTP\/1\.1 (404|405) /, one);
    });

  it('a body of an unknown type is told which type the pipeline takes', async () => {
    for (const [pipeline, type, taken] of [
      ['few', 'application/xml', 'application/x-ndjson'],
      ['lines', 'image/png', 'application/x-ndjson'],
      ['lines', 'text/csv', 'application/x-ndjson'],
    ] as const) {
      const response = await api.call(runsOf(pipeline), data('x', type));
      const { code, issues } = (await response.json()) as { code: string; issues: { message: string }[] };
      assert.equal(code, 'UnsupportedMediaType');
      assert.ok(issues[0]!.message.includes(taken), issues[0]!.message);
    }
  });

  it('of very many issues a hundred are shown, and how many there are', async () => {
    const response = await api.call(
      runsOf('few'),
      json({ records: Array.from({ length: 99_999 }, () => 1) }),
    );
    const problem = (await response.json()) as { code: string; issues: object[]; issueCount: number };
    assert.deepEqual(
      [problem.code, problem.issues.length, problem.issueCount],
      ['InvalidRequest', 100, 99_999],
    );
  });

  it('what is echoed of a request is short', async () => {
    const response = await api.call(runsOf('few'), json({ ['k'.repeat(1_000_000)]: 1 }));
    assert.equal(response.status, 400);
    assert.ok((await response.text()).length < 2_000);
  });

  it('a body holds no more than half a million values, and parameters have a quarter of a million characters', async () => {
    const many = json({ records: [], parameters: { a: Array.from({ length: 500_001 }, () => 1) } });
    assert.equal(await codeOf(await api.call(runsOf('few'), many)), 'RequestTooLarge');
    const long = json({ records: [{ id: 'a' }], parameters: { a: 'x'.repeat(262_145) } });
    assert.equal(await codeOf(await api.call(runsOf('few'), long)), 'ParametersInvalid');
  });

  const large = json({ records: [{ id: 'a', note: 'x'.repeat(4_000_000) }] });

  it('fifty large bodies at once are bounded by principal, and health goes on answering', async () => {
    const codes = new Map<number, number>();
    const posts = Array.from({ length: 50 }, async () => {
      const response = await api.call(runsOf('few'), { ...large, as: token });
      await response.text();
      codes.set(response.status, (codes.get(response.status) ?? 0) + 1);
      if (response.status === 429) assert.ok(Number(response.headers.get('retry-after')) >= 1);
    });
    const startedAt = performance.now();
    assert.equal((await api.call('/healthz')).status, 200);
    assert.ok(performance.now() - startedAt < 5_000);
    await Promise.all(posts);
    assert.deepEqual(
      [...codes.keys()].filter((code) => code === 503),
      [],
    );
    assert.ok(codes.get(429)! > 0, JSON.stringify([...codes]));
    // All of it was given back.
    for (let i = 0; i < 4; i++) assert.notEqual((await api.call(runsOf('few'), large)).status, 429);
  });

  it('large bodies of many principals are bounded too', async () => {
    const statuses = await Promise.all(
      Array.from({ length: 24 }, async (_, i) => {
        const as = await api.issuer.token({ sub: `sender-${i}` });
        const response = await api.call(runsOf('few'), { ...large, as });
        const text = await response.text();
        if (response.status === 503) assert.match(text, /"code":"Overloaded"/);
        return response.status;
      }),
    );
    assert.ok(!statuses.includes(429));
    assert.notEqual((await api.call(runsOf('few'), large)).status, 503);
  });

  it('event streams are bounded by principal, also on one connection, and a place is free once the client is gone', async () => {
    const { id } = (await (await api.call(runsOf('few'), json({ records: [{ id: 'a' }] }))).json()) as Run;
    const path = `/v1/runs/${id}/events`;
    token = await api.issuer.token();
    const socket = await send(...Array.from({ length: 400 }, () => requestOf('GET', path)));
    // Of a client that reads nothing the API learns by its next heartbeat only.
    socket.resume();
    const open = async (as: string) => {
      const response = await api.call(path, { as });
      await response.body?.cancel();
      return response.status;
    };
    const held = await Promise.all(Array.from({ length: 60 }, () => api.call(path, { as: token })));
    assert.ok(held.some(({ status }) => status === 429));
    const bob = await api.issuer.token({ sub: 'bob' });
    assert.equal(await open(bob), 200);
    socket.destroy();
    await Promise.all(held.map(({ body }) => body?.cancel()));
    await waitFor(async () => (await open(token)) === 200);
  });

  async function waitFor(holds: () => Promise<boolean>): Promise<void> {
    for (let i = 0; i < 200; i++) {
      if (await holds()) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail('not within 10 s');
  }

  it('a caller who is still sending a body that is rejected can read why', async () => {
    const token = await api.issuer.token({ sub: 'patient' });
    const chunk = Buffer.alloc(200_000, ' ');
    const begin = () =>
      request(`${api.url}${runsOf('few')}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'content-length': 20 * chunk.length,
        },
      });
    const holding = [1, 2, 3].map(() => {
      const one = begin().on('error', () => {});
      one.write(chunk);
      return one;
    });
    try {
      await pause(300);
      const sending = begin();
      const answer = new Promise<[number | undefined, string, string | undefined]>((resolve, reject) => {
        sending.on('error', reject);
        sending.on('response', (response) => {
          text(response).then(
            (body) => resolve([response.statusCode, JSON.parse(body).code, response.headers.connection]),
            reject,
          );
        });
      });
      for (let n = 0; n < 20; n++) {
        sending.write(chunk);
        await pause(20);
      }
      sending.end();
      // `close` would let the server end the connection under the bytes that are on their way.
      assert.deepEqual(await answer, [429, 'TooManyRequests', undefined]);
    } finally {
      for (const one of holding) one.destroy();
    }
  });
});
