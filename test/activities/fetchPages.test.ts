import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { fetchPages } from '../../activities/fetchPages.ts';
import { csv } from '../../connectors/formats/csv/index.ts';
import { json } from '../../connectors/formats/json/index.ts';
import { ndjson } from '../../connectors/formats/ndjson/index.ts';
import { createSources } from '../../connectors/sources/createSources.ts';
import type { AuditEvent } from '../../domain/audit.ts';
import { defaultLimits, type FormatManifest } from '../../domain/pipelines/manifest.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import { linkToNext, type PagesManifest } from '../../domain/sources/pages.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { grantOfRun } from '../support/keys.ts';
import { keptBatches } from './keptBatches.ts';

type Answer = (request: IncomingMessage, response: ServerResponse, url: URL) => void;

describe('a URL of many pages', () => {
  let answer: Answer;
  const servers = [0, 1].map(() =>
    createServer((request, response) => {
      const url = new URL(request.url!, `http://${request.headers.host}`);
      requests.push(`${request.method} ${url.pathname}${url.search} ${request.headers.authorization ?? '-'}`);
      answer(request, response, url);
    }),
  );
  const requests: string[] = [];
  const origins: string[] = [];
  before(async () => {
    for (const server of servers) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      origins.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
  });
  after(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** A run over these pages, of which an attempt may break off after some batches. */
  function reading(
    format: FormatManifest,
    pages: Partial<PagesManifest> & object,
    path = '/rows?key=s3cret',
  ) {
    requests.splice(0);
    const url = `${origins[0]}${path}`;
    const run = {
      ...{ tenant: 'acme', runId: 'pages-1', source: { kind: 'http', url, credentials: 'shop' } },
    } as unknown as RunFacts;
    const objects = createMemoryObjects();
    const kept = keptBatches();
    const { batches } = kept;
    const audited: AuditEvent[] = [];
    const deps = {
      grant: () => ({ claims: grantOfRun, key: 'k' }),
      decision: () => undefined,
      recheck: async () => {},
      definitions: { require: () => ({ manifest: { limits: { ...defaultLimits, batchRecords: 2 } } }) },
      objects,
      receiver: createReceiver(objects),
      sources: createSources({
        fileRoots: [],
        egressAllow: origins.map((origin) => new URL(origin).host),
        credentials: () => ({ current: async () => '{"username":"u","password":"p"}' }),
      }),
      batches: {
        ...kept,
        seal: async (_: object, _left: number, event: AuditEvent) => void audited.push(event),
      },
    } as unknown as Dependencies;
    const fetch = (attempt = 1, appends = Number.POSITIVE_INFINITY, how: object = {}) => {
      kept.appendsLeft = appends;
      const all = { max: 1000, ...(pages.by === 'number' && { first: 1 }), ...pages } as PagesManifest;
      return new MockActivityEnvironment({ attempt }).run(() =>
        fetchPages(deps, run, format, all, { window: undefined, ...how }),
      );
    };
    const text = () => Buffer.concat(batches.map(({ bytes }) => Buffer.from(bytes!))).toString();
    return { fetch, batches, audited, text };
  }

  const basic = `Basic ${Buffer.from('u:p').toString('base64')}`;
  /** Three pages of three records of NDJSON, by a link. */
  const linked: Answer = (_, response, url) => {
    const page = Number(url.searchParams.get('page') ?? 1);
    if (page < 3) response.setHeader('link', `</rows?key=s3cret&page=${page + 1}>; rel="next"`);
    response.end([0, 1, 2].map((i) => `{"id":"${page}-${i}"}\n`).join(''));
  };

  it('by links: each page in batches of its own, each with the name of its page', async () => {
    answer = linked;
    const { fetch, batches, audited, text } = reading(ndjson(), { by: 'link' });
    await fetch();
    assert.deepEqual(
      batches.map(({ seq, firstRecord, records, source }) => [
        seq,
        firstRecord,
        records,
        source?.slice(origins[0]!.length),
      ]),
      [
        [0, 0, 2, '/rows?key=***#page=1'],
        [1, 2, 1, '/rows?key=***#page=1'],
        [2, 3, 2, '/rows?key=***&page=***#page=2'],
        [3, 5, 1, '/rows?key=***&page=***#page=2'],
        [4, 6, 2, '/rows?key=***&page=***#page=3'],
        [5, 8, 1, '/rows?key=***&page=***#page=3'],
      ],
    );
    assert.equal(text().split('\n').length, 10);
    assert.equal(audited[0]!.detail.pages, 3);
    assert.deepEqual(requests, [
      `GET /rows?key=s3cret ${basic}`,
      `GET /rows?key=s3cret&page=2 ${basic}`,
      `GET /rows?key=s3cret&page=3 ${basic}`,
    ]);
  });

  it('a retry begins with the page of the last batch, wherever the attempt before was killed', async () => {
    answer = linked;
    const whole = reading(ndjson(), { by: 'link' });
    await whole.fetch();
    for (let kill = 0; kill < 6; kill++) {
      const { fetch, batches, audited } = reading(ndjson(), { by: 'link' });
      await assert.rejects(fetch(1, kill), /killed/);
      requests.splice(0);
      await fetch(2);
      assert.deepEqual(batches, whole.batches);
      assert.equal(audited[0]!.detail.pages, 3);
      assert.equal(requests.length, 3 - Math.floor(Math.max(0, kill - 1) / 2));
    }
  });

  it('by a cursor in the body: the records are the very texts of the member', async () => {
    const bodies: Record<string, string> = {
      '': '{"data":[{"id":1.10},{"id":9007199254740993}],"meta":{"next":"a b"}}',
      'a b': '{"meta":{"next":7},"data":[]}',
      7: '{"data":[{"id":3}],"meta":{"next":null}}',
    };
    answer = (_, response, url) => response.end(bodies[url.searchParams.get('after') ?? '']);
    const pages = { by: 'cursor', items: 'data', field: 'meta.next', parameter: 'after' } as const;
    const { fetch, text, batches } = reading(json(), pages);
    await fetch();
    assert.equal(text(), '[{"id":1.10},{"id":9007199254740993}][{"id":3}]');
    assert.equal(batches.at(-1)!.source!.endsWith('#page=3'), true);
    assert.deepEqual(
      requests.map((one) => one.split(' ')[1]),
      ['/rows?key=s3cret', '/rows?key=s3cret&after=a+b', '/rows?key=s3cret&after=7'],
    );
  });

  it('by a URL in the body', async () => {
    answer = (_, response, url) =>
      response.end(
        url.pathname === '/rows' ? '{"items":[{"id":1}],"next":"more/2"}' : '{"items":[{"id":2}]}',
      );
    const { fetch, text } = reading(json(), { by: 'cursor', items: 'items', field: 'next' });
    await fetch();
    assert.equal(text(), '[{"id":1}][{"id":2}]');
  });

  it('by number: the first page without records is the end, and each page has a header of its own', async () => {
    answer = (_, response, url) => {
      const page = Number(url.searchParams.get('p'));
      response.end(`id\n${page <= 2 ? `${page}a\n${page}b\n${page}c\n` : ''}`);
    };
    const { fetch, text, batches } = reading(csv(), { by: 'number', parameter: 'p' });
    await fetch(1, Number.POSITIVE_INFINITY, { since: { parameter: 'since', value: '5' } });
    assert.equal(text(), '1a\n1b\n1c\n2a\n2b\n2c\n');
    assert.deepEqual(batches[0]!.header, ['id']);
    assert.deepEqual(
      requests.map((one) => one.split(' ')[1]),
      [1, 2, 3].map((p) => `/rows?key=s3cret&p=${p}&since=5`),
    );
  });

  it('another origin gets no credentials, nor does what it leads to', async () => {
    const [first, other] = origins;
    answer = (_, response, url) => {
      const next = { '/rows': `${other}/two`, '/two': `${first}/three` }[url.pathname];
      if (next) response.setHeader('link', `<${next}>; rel="next"`);
      response.end('{"id":1}\n');
    };
    const { fetch } = reading(ndjson(), { by: 'link' });
    await fetch();
    assert.deepEqual(requests, [`GET /rows?key=s3cret ${basic}`, 'GET /two -', 'GET /three -']);
  });

  it('a redirect elsewhere ends the credentials for all pages after it', async () => {
    const [first, other] = origins;
    answer = (_, response, url) => {
      if (url.pathname === '/rows') return void response.writeHead(302, { location: `${other}/two` }).end();
      if (url.pathname === '/two') response.setHeader('link', `<${first}/three>; rel="next"`);
      response.end('{"id":1}\n');
    };
    const { fetch } = reading(ndjson(), { by: 'link' });
    await fetch();
    assert.deepEqual(requests, [`GET /rows?key=s3cret ${basic}`, 'GET /two -', 'GET /three -']);
  });

  it('a page at an address that is not public is refused', async () => {
    for (const next of ['http://169.254.169.254/latest', 'file:///etc/passwd', 'http://[::1]:1/']) {
      answer = (_, response) => response.setHeader('link', `<${next}>; rel=next`).end('{"id":1}\n');
      await assert.rejects(reading(ndjson(), { by: 'link' }).fetch(), { code: 'SourceRefused' }, next);
    }
  });

  it('pages that lead back, never end or are too many end the run', async () => {
    const endless = { code: 'PagesEndless' };
    answer = (_, response, url) =>
      response
        .setHeader('link', `<${url.searchParams.has('b') ? '/rows?key=s3cret' : '/rows?b'}>; rel=next`)
        .end('{"id":1}\n');
    await assert.rejects(reading(ndjson(), { by: 'link' }).fetch(), endless);
    const cursor = { by: 'cursor', items: 'data', field: 'next', parameter: 'c' } as const;
    answer = (_, response) => response.end('{"data":[],"next":"same"}');
    await assert.rejects(reading(json(), cursor).fetch(), endless);
    assert.equal(requests.length, 2);
    answer = (_, response) => response.end('{"id":1}\n');
    await assert.rejects(reading(ndjson(), { by: 'number', parameter: 'p' }).fetch(), endless);
    assert.equal(requests.length, 2);
    let n = 0;
    answer = (_, response) => response.end(`{"id":${n++}}\n`);
    await assert.rejects(reading(ndjson(), { by: 'number', parameter: 'p', max: 5 }).fetch(), endless);
    assert.equal(requests.length, 5);
  });

  it('a page that is asked for too often waits, and a body that is no page is a clear error', async () => {
    answer = (_, response, url) =>
      url.searchParams.has('page')
        ? response.writeHead(429, { 'retry-after': '7' }).end()
        : response.setHeader('link', '</rows?page=2>; rel=next').end('{"id":1}\n');
    const { fetch } = reading(ndjson(), { by: 'link' });
    await assert.rejects(fetch(), { code: 'SourceUnavailable', retryAfterMs: 7000 });
    for (const body of [
      '[]',
      'x',
      '{"data":{}}',
      '{"data":[],"data":[]}',
      '{"data":[],"next":{}}',
      `{"data":${'['.repeat(99)}${']'.repeat(99)}}`,
    ]) {
      answer = (_, response) => response.end(body);
      const cursor = { by: 'cursor', items: 'data', field: 'next', parameter: 'c' } as const;
      await assert.rejects(reading(json(), cursor).fetch(), { code: 'FormatMismatch' }, body);
    }
    answer = (_, response) => response.end('');
    await assert.rejects(reading(ndjson(), { by: 'link' }).fetch(), { code: 'SourceEmpty' });
  });

  it('reads links as RFC 8288 writes them', () => {
    for (const [link, next] of [
      ['<a>; rel="next"', 'a'],
      ['<a>;rel=next', 'a'],
      ['<a>; rel="prev next"', 'a'],
      ['<x,y;z>; title="a, <b>; rel=next"; rel="next", <c>; rel=last', 'x,y;z'],
      ['<c>; rel="last", <d>; title="x"; REL=NEXT', 'd'],
      ['<a>; rel="prev"', undefined],
      ['<a>; title="rel=next"', undefined],
      ['<a>; rel="nextish"', undefined],
      ['', undefined],
    ] as const)
      assert.equal(linkToNext(link), next, link);
  });
});
