import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { createInputs, createSources } from '../../connectors/sources/createSources.ts';
import { definePipeline, http, ndjson, postgres } from '../../sdk/index.ts';

describe('who asks an http source, and when again', () => {
  const servers: Server[] = [];
  const asked: { host: string; headers: IncomingHttpHeaders }[] = [];
  let host: string;
  let other: string;
  let secret = '';
  let wanted: string | undefined;
  let retryAfter = '';

  before(async () => {
    for (let n = 0; n < 2; n++) {
      const server = createServer(({ headers, url }, response) => {
        asked.push({ host: headers.host!, headers });
        if (url === '/busy') return void response.writeHead(429, { 'retry-after': retryAfter }).end();
        if (url === '/away') return void response.writeHead(302, { location: `http://${other}/` }).end();
        if (wanted !== undefined && headers.authorization !== wanted)
          return void response.writeHead(401).end();
        response.end('{}\n');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      servers.push(server);
    }
    [host, other] = servers.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`) as [
      string,
      string,
    ];
  });
  after(() => {
    for (const server of servers) server.close().closeAllConnections();
  });

  async function read(path = '/') {
    if (path === '/busy') secret = '{"headers":{}}';
    asked.length = 0;
    const credentials = (name: string) => ({ current: async () => (name === 'crm' ? secret : '') });
    const sources = createSources({ fileRoots: [], egressAllow: [host, other], credentials });
    const { stream } = await sources.open({ kind: 'http', url: `http://${host}${path}`, credentials: 'crm' });
    for await (const _ of stream);
    return asked;
  }
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

  it('a credential is sent as HTTP Basic, or as the headers that it names', async () => {
    secret = '{"username":"waybill","password":"pä:ss"}';
    assert.equal((await read())[0]!.headers.authorization, basic('waybill:pä:ss'));
    secret = '{"headers":{"X-Api-Key":"k3y"}}';
    const [{ headers } = { headers: {} as IncomingHttpHeaders }] = await read();
    assert.deepEqual([headers['x-api-key'], headers.authorization], ['k3y', undefined]);
  });

  it('a credential is not sent to another origin', async () => {
    secret = '{"headers":{"X-Api-Key":"k3y"}}';
    const sent = (await read('/away')).map((one) => [one.host, one.headers['x-api-key']]);
    assert.deepEqual(sent, [
      [host, 'k3y'],
      [other, undefined],
    ]);
  });

  it('a credential is read again where the server rejects it, so that it may rotate', async () => {
    secret = '{"username":"a","password":"old"}';
    wanted = basic('a:new');
    const provider = { current: async () => secret };
    const sources = createSources({
      fileRoots: [],
      egressAllow: [host],
      credentials: () => ({
        current: async () => {
          const now = await provider.current();
          secret = '{"username":"a","password":"new"}';
          return now;
        },
      }),
    });
    const { stream } = await sources.open({ kind: 'http', url: `http://${host}/`, credentials: 'crm' });
    for await (const _ of stream);
    wanted = undefined;
  });

  it('a credential that cannot be read, or would change the request itself, is SourceUnavailable and names no value', async () => {
    for (const text of [
      '',
      's3cret',
      '{"username":"a"}',
      '{"headers":{"Host":"s3cret"}}',
      '{"headers":{"X":"a\\r\\nY: s3cret"}}',
    ]) {
      secret = text;
      await assert.rejects(read(), (error: { code: string }) => {
        assert.equal(error.code, 'SourceUnavailable');
        assert.doesNotMatch(JSON.stringify(error) + String(error), /s3cret/);
        return true;
      });
    }
  });

  it('a retry waits as long as Retry-After says, at most an hour', async () => {
    for (const [given, waits] of [
      ['7', 7_000],
      ['999999', 3_600_000],
      ['soon', undefined],
      ['0', undefined],
    ] as const) {
      retryAfter = given;
      await assert.rejects(read('/busy'), { code: 'SourceUnavailable', retryAfterMs: waits });
    }
    retryAfter = new Date(Date.now() + 60_000).toUTCString();
    await assert.rejects(read('/busy'), ({ retryAfterMs }: { retryAfterMs: number }) => {
      assert.ok(retryAfterMs > 50_000 && retryAfterMs <= 60_000, `${retryAfterMs}`);
      return true;
    });
  });

  it('a credential needs a URL in the definition, and goes to its origin by https alone', async () => {
    const define = (options: Parameters<typeof http>[1]) =>
      definePipeline({
        id: 'rates',
        source: http(ndjson(), options),
        input: z.strictObject({ day: z.string() }),
        sink: postgres({ table: 'rates', key: ['day'] }),
      }).manifest.source;
    assert.throws(() => define({ credentials: 'crm' }), /needs a url/);
    assert.throws(
      () => define({ url: 'https://a.example/', credentials: 'crm', auth: 'caller' }),
      /beside “auth”/,
    );
    const inputs = createInputs({ fileRoots: [], egressAllow: [] });
    const source = define({ url: 'https://a.example/x', credentials: 'crm' });
    const accept = (url: string) => inputs.accept(source, { source: { url }, records: false });
    assert.deepEqual(await accept('https://a.example/y'), {
      kind: 'http',
      url: 'https://a.example/y',
      credentials: 'crm',
    });
    for (const url of [
      'https://b.example/x',
      'http://a.example/x',
      'https://a.example:444/x',
      's3://a.example/x',
    ])
      await assert.rejects(accept(url), { code: 'SourceInvalid' }, url);
    const open = define({ url: 'http://a.example/x', credentials: 'crm' });
    await assert.rejects(inputs.accept(open, { source: undefined, records: false }), {
      code: 'SourceRefused',
    });
  });
});
