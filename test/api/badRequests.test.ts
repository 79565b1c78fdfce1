import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('bad requests', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  const to = (pipeline: string, query = '') => `/v1/pipelines/${pipeline}/runs${query}`;
  const few = { records: [{ id: 'a' }] };
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;

  const refused: [what: string, path: string, init: RequestInit, status: number, code: string][] = [
    ['an unknown pipeline', to('nowhere'), json({}), 404, 'PipelineNotFound'],
    ['an unknown run', '/v1/runs/nowhere', {}, 404, 'RunNotFound'],
    ['a run id with a zero byte', '/v1/runs/a%00b', {}, 404, 'RunNotFound'],
    ['a run id that is a path', '/v1/runs/..%2F..%2Fetc', {}, 404, 'RunNotFound'],
    ['an unknown route', '/v1/nowhere', {}, 404, 'NotFound'],
    ['a route with a slash at its end', '/v1/pipelines/few/', {}, 404, 'NotFound'],
    ['a route in capitals', '/V1/runs', {}, 404, 'NotFound'],
    ['a route behind a double slash', '//v1/runs', {}, 404, 'NotFound'],
    ['a route with a suffix', '/v1/runs/x/healthz', {}, 404, 'NotFound'],
    ['a path that is no UTF-8', '/v1/runs/%ff', {}, 400, 'InvalidRequest'],
    ['a wrong method', '/v1/runs', { method: 'DELETE' }, 405, 'MethodNotAllowed'],
    ['GET where only POST is', '/v1/runs/x/cancel', {}, 405, 'MethodNotAllowed'],
    ['a JSON that ends early', to('few'), json('{"records":'), 400, 'InvalidJson'],
    ['100,000 levels of JSON', to('few'), json(deep), 400, 'InvalidJson'],
    ['65 levels of JSON', to('few'), json(`{"a":${'['.repeat(64)}${']'.repeat(64)}}`), 400, 'InvalidJson'],
    ['__proto__', to('few'), json('{"records":[{"__proto__":{"admin":true}}]}'), 400, 'InvalidJson'],
    ['an escaped __proto__', to('few'), json('{"\\u005f_proto__":{}}'), 400, 'InvalidJson'],
    ['a number that is too large', to('few'), json('{"records":[{"id":"x","n":1e999}]}'), 400, 'InvalidJson'],
    ['a key that stands twice', to('few'), json('{"records":[],"records":[{"id":"x"}]}'), 400, 'InvalidJson'],
    [
      'a key that stands twice inside',
      to('few'),
      json('{"source":{"path":"a","path":"b"}}'),
      400,
      'InvalidJson',
    ],
    [
      'a parameter that would be rounded',
      to('lines'),
      json('{"parameters":{"limit":9007199254740993}}'),
      400,
      'InvalidJson',
    ],
    [
      'a parameter of a query that would be rounded',
      to('lines', '?limit=9007199254740993'),
      data(lines(1)),
      422,
      'ParametersInvalid',
    ],
    [
      'a callback with a NUL',
      to('few'),
      json({ ...few, callback: { url: 'http://x.example/\0' } }),
      400,
      'InvalidRequest',
    ],
    [
      'a callback with half a surrogate pair',
      to('few'),
      json({ ...few, callback: { url: 'http://x.example/\ud800' } }),
      400,
      'InvalidRequest',
    ],
    ['a URL with a NUL', to('urls'), json({ source: { url: 'http://8.8.8.8/\0' } }), 400, 'InvalidRequest'],
    [
      'a path with half a surrogate pair',
      to('files'),
      json({ source: { path: '\ud800' } }),
      400,
      'InvalidRequest',
    ],
    [
      'invalid UTF-8',
      to('few'),
      { ...json({}), body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
      400,
      'InvalidJson',
    ],
    ['an envelope with an unknown field', to('few'), json({ ...few, user: 'bob' }), 400, 'InvalidRequest'],
    [
      'an envelope that sets the tenant',
      to('few'),
      json({ ...few, tenant: 'globex' }),
      400,
      'InvalidRequest',
    ],
    ['an envelope that is a list', to('few'), json([]), 400, 'InvalidRequest'],
    ['an envelope that is null', to('few'), json('null'), 400, 'InvalidRequest'],
    ['records that are no objects', to('few'), json({ records: [1] }), 400, 'InvalidRequest'],
    ['a callback that is no URL', to('few'), json({ ...few, callback: { url: 'x' } }), 400, 'InvalidRequest'],
    [
      'a callback to a file',
      to('few'),
      json({ ...few, callback: { url: 'file:///x' } }),
      400,
      'InvalidRequest',
    ],
    ['a query beside an envelope', to('few', '?name=x'), json(few), 400, 'InvalidRequest'],
    [
      '5 MB of envelope',
      to('few'),
      json({ records: [{ id: 'x'.repeat(5_000_000) }] }),
      413,
      'RequestTooLarge',
    ],
    ['a body of another type', to('lines'), data('<a/>', 'application/xml'), 415, 'UnsupportedMediaType'],
    ['a form', to('few'), data('a=1', 'application/x-www-form-urlencoded'), 415, 'UnsupportedMediaType'],
    ['CSV where NDJSON is read', to('lines'), data('id\na\n', 'text/csv'), 415, 'UnsupportedMediaType'],
    ['NDJSON where CSV is read', to('cells'), data(lines(1)), 415, 'UnsupportedMediaType'],
    ['data for a pipeline that reads a file', to('files'), data(lines(1)), 415, 'UnsupportedMediaType'],
    [
      'data in Latin-1',
      to('lines'),
      data(lines(1), 'application/x-ndjson; charset=latin1'),
      415,
      'UnsupportedMediaType',
    ],
    [
      'data in an unknown compression',
      to('lines'),
      data(lines(1), 'application/x-ndjson', { 'content-encoding': 'br' }),
      415,
      'UnsupportedMediaType',
    ],
    [
      'an envelope in gzip',
      to('few'),
      { ...json(few), headers: { ...json(few).headers, 'content-encoding': 'gzip' } },
      415,
      'UnsupportedMediaType',
    ],
    [
      'data that is not in gzip, as it says',
      to('lines'),
      data(lines(1), 'application/x-ndjson', { 'content-encoding': 'gzip' }),
      422,
      'DecompressionFailed',
    ],
    ['gzip that does not say so', to('lines'), data(gzipSync(lines(1))), 422, 'FormatMismatch'],
    ['a JSON array where NDJSON is read', to('lines'), data('[{"id":"a"}]'), 422, 'FormatMismatch'],
    ['a CSV of other columns', to('cells'), data('a;b\n1;2\n', 'text/csv'), 422, 'HeaderInvalid'],
    ['a CSV of other columns and no rows', to('cells'), data('a;b\n', 'text/csv'), 422, 'HeaderInvalid'],
    ['a CSV with CR line ends', to('cells'), data('id,n\ra,1\r', 'text/csv'), 422, 'HeaderInvalid'],
    ['data where a command is', '/v1/runs/x/cancel', data(lines(1)), 404, 'RunNotFound'],
    ['an empty body', to('lines'), data(''), 422, 'InputEmpty'],
    ['an empty CSV', to('cells'), data('', 'text/csv'), 422, 'InputEmpty'],
    [
      'a CSV with a header that repeats a name',
      to('cells'),
      data('id,id\na,b\n', 'text/csv'),
      422,
      'HeaderInvalid',
    ],
    ['no records', to('few'), json({ records: [] }), 422, 'InputEmpty'],
    ['no data', to('few'), json({}), 422, 'InputRequired'],
    ['no body at all', to('lines'), { method: 'POST' }, 422, 'InputRequired'],
    ['records where CSV is read', to('cells'), json(few), 422, 'SourceInvalid'],
    ['records where a file is read', to('files'), json(few), 422, 'SourceInvalid'],
    ['a source where data is sent', to('few'), json({ ...few, source: { path: 'x' } }), 422, 'SourceInvalid'],
    [
      'a URL where a file is read',
      to('files'),
      json({ source: { url: 'https://example.com/' } }),
      422,
      'SourceInvalid',
    ],
    ['no path where a file is read', to('files'), json({}), 422, 'SourceInvalid'],
    [
      'a file outside the roots',
      to('files'),
      json({ source: { path: '/etc/passwd' } }),
      422,
      'SourceRefused',
    ],
    ['a way out of the roots', to('files'), json({ source: { path: '../../x' } }), 422, 'SourceRefused'],
    ['unknown parameters', to('lines', '?colour=red'), data(lines(1)), 422, 'ParametersInvalid'],
    ['a parameter of another type', to('lines', '?limit=many'), data(lines(1)), 422, 'ParametersInvalid'],
    ['a parameter given twice', to('lines', '?limit=1&limit=2'), data(lines(1)), 422, 'ParametersInvalid'],
    [
      'parameters in the envelope',
      to('few'),
      json({ ...few, parameters: { x: 1 } }),
      422,
      'ParametersInvalid',
    ],
    ['a key with a space', to('few'), json(few, { 'idempotency-key': 'a b' }), 400, 'IdempotencyKeyInvalid'],
    [
      'a key of 256 characters',
      to('few'),
      json(few, { 'idempotency-key': 'k'.repeat(256) }),
      400,
      'IdempotencyKeyInvalid',
    ],
    ['a page of 101', '/v1/runs?limit=101', {}, 400, 'InvalidRequest'],
    ['a page of nothing', '/v1/runs?limit=0', {}, 400, 'InvalidRequest'],
    ['a state that is none', '/v1/runs?state=lost', {}, 400, 'InvalidRequest'],
    ['an unknown filter', '/v1/runs?tenant=globex', {}, 400, 'InvalidRequest'],
    ['an unknown cursor', '/v1/runs?cursor=nowhere', {}, 400, 'InvalidRequest'],
  ];
  for (const url of [
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://[::ffff:7f00:1]/',
    'http://localhost:5432/',
    'http://169.254.169.254/latest/meta-data/',
    'http://user:secret@example.com/',
  ])
    refused.push([url, to('urls'), json({ source: { url } }), 422, 'SourceRefused']);

  for (const [what, path, init, status, code] of refused) {
    it(`${what} is refused as ${code}`, async () => {
      const response = await api.call(path, init);
      assert.deepEqual([response.status, await codeOf(response)], [status, code]);
    });
  }

  it('nothing of all that became a run or an object', async () => {
    assert.deepEqual(await api.rows('SELECT id FROM waybill.run'), []);
    assert.deepEqual(await api.rows('SELECT id FROM waybill.outbox'), []);
  });

  it('HEAD is not served', async () => {
    const response = await api.call('/v1/runs', { method: 'HEAD' });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'GET');
  });

  it('issues name the place of what is wrong', async () => {
    const response = await api.call(to('few'), json({ ...few, parameters: 1 }));
    const { issues } = (await response.json()) as { issues: { path: string }[] };
    assert.deepEqual(
      issues.map(({ path }) => path),
      ['/parameters'],
    );
  });

  it('what is not HTTP gets a problem too', async () => {
    const port = Number(new URL(api.url).port);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('HELLO\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => (text += chunk));
      socket.on('close', () => resolve(text));
    });
    assert.match(answer, /^HTTP\/1.1 400 .*application\/problem\+json.*"code":"InvalidRequest"/s);
  });
});
