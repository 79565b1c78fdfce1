import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createInputs, createSources } from '../../connectors/sources/createSources.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { OpenOptions, Sources } from '../../domain/ports/sources.ts';
import type { AcceptedSource } from '../../domain/sources/source.ts';
import { sourceConformance } from '../conformance/sources.ts';

async function readAll(sources: Sources, source: AcceptedSource, options?: OpenOptions): Promise<string> {
  const { stream } = await sources.open(source, options);
  return Buffer.concat(await chunksOf(stream)).toString();
}

async function chunksOf(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('files', () => {
  let home: string;
  let sources: Sources;

  before(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'waybill-sources-')));
    await mkdir(join(home, 'root/inner'), { recursive: true });
    await mkdir(join(home, 'root-but-not'));
    await writeFile(join(home, 'root/data.csv'), 'a\n1\n');
    await writeFile(join(home, 'secret.csv'), 'secret');
    await writeFile(join(home, 'root-but-not/data.csv'), 'other');
    await symlink(join(home, 'secret.csv'), join(home, 'root/link.csv'));
    await symlink(home, join(home, 'root/up'));
    await symlink(join(home, 'root/data.csv'), join(home, 'root/inner/same.csv'));
    sources = createSources({ fileRoots: [join(home, 'root')], egressAllow: [] });
  });
  after(() => rm(home, { recursive: true }));

  test('a file below a root is read, from any byte, by a relative or an absolute path', async () => {
    assert.equal(await readAll(sources, { kind: 'file', path: 'data.csv' }), 'a\n1\n');
    assert.equal(
      await readAll(sources, { kind: 'file', path: join(home, 'root/data.csv') }, { fromByte: 2 }),
      '1\n',
    );
    assert.equal(await readAll(sources, { kind: 'file', path: 'data.csv' }, { fromByte: 99 }), '');
  });

  test('a symbolic link that stays below the root is followed', async () => {
    assert.equal(await readAll(sources, { kind: 'file', path: 'inner/same.csv' }), 'a\n1\n');
  });

  const outside = [
    '../secret.csv',
    'inner/../../secret.csv',
    '/etc/passwd',
    '/etc/no-such-file',
    '../root-but-not/data.csv',
    'link.csv',
    'up/secret.csv',
    'inner',
    '.',
    '',
    'data.csv\0.txt',
    '/proc/self/environ',
    '/dev/zero',
  ];
  for (const path of outside) {
    test(`${JSON.stringify(path)} is refused`, async () => {
      await assert.rejects(sources.open({ kind: 'file', path }), { code: 'SourceRefused' });
    });
  }

  sourceConformance('file', async () => {
    const path = join(home, 'root/conformance.csv');
    return {
      sources,
      source: { kind: 'file', path },
      write: (text) => writeFile(path, text),
      fail: () => rm(path, { force: true }),
    };
  });

  test('without roots no file is read', async () => {
    const none = createSources({ fileRoots: [], egressAllow: [] });
    await assert.rejects(none.open({ kind: 'file', path: join(home, 'root/data.csv') }), {
      code: 'SourceRefused',
    });
  });

  test('a file that is not there is unavailable', async () => {
    await assert.rejects(sources.open({ kind: 'file', path: 'missing.csv' }), { code: 'SourceUnavailable' });
  });

  test('a file that changes while it is read, or between two reads, has changed', async () => {
    const path = join(home, 'root/changing.csv');
    await writeFile(path, 'before');
    const { stream, version } = await sources.open({ kind: 'file', path });
    await writeFile(path, 'after, and longer');
    await assert.rejects(chunksOf(stream), { code: 'SourceChanged' });
    await assert.rejects(sources.open({ kind: 'file', path }, { fromByte: 2, version }), {
      code: 'SourceChanged',
    });
  });
});

describe('files that grow', () => {
  let home: string;
  let path: string;
  let sources: Sources;

  before(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'waybill-growing-')));
    path = join(home, 'grows.ndjson');
    sources = createSources({ fileRoots: [home], egressAllow: [] });
  });
  beforeEach(() => writeFile(path, 'one\ntwo\n'));
  after(() => rm(home, { recursive: true }));

  test('are read to their first end, whatever is appended later', async () => {
    const { sizeBytes, head } = await sources.extent({ kind: 'file', path }, []);
    assert.equal(sizeBytes, 8);
    const growing = { untilByte: sizeBytes, head };
    const { stream, version } = await sources.open({ kind: 'file', path }, { growing });
    await appendFile(path, 'three\n');
    assert.equal(Buffer.concat(await chunksOf(stream)).toString(), 'one\ntwo\n');
    const again = { fromByte: 4, growing, version };
    assert.equal(await readAll(sources, { kind: 'file', path }, again), 'two\n');
  });

  test('are read on where what is known of them still holds', async () => {
    const { head } = await sources.extent({ kind: 'file', path }, []);
    await appendFile(path, 'three\n');
    const tail = { firstByte: 4, sizeBytes: 4, digest: createHash('sha256').update('two\n').digest('hex') };
    const extent = await sources.extent({ kind: 'file', path }, [head, tail]);
    assert.deepEqual([extent.sizeBytes, extent.lines], [14, [2, 1]]);
  });

  test('have changed where they are shorter, or another file, or begin otherwise', async () => {
    const { sizeBytes, head } = await sources.extent({ kind: 'file', path }, []);
    const growing = { untilByte: sizeBytes, head };
    const { version } = await sources.open({ kind: 'file', path }, { growing });
    const changed = { code: 'SourceChanged' };
    for (const text of ['one\n', '', 'one\nTWO\n', 'ONE\ntwo\nthree\n']) {
      await writeFile(path, text);
      await assert.rejects(sources.extent({ kind: 'file', path }, [head]), changed, text);
      await assert.rejects(sources.open({ kind: 'file', path }, { growing }), changed, text);
    }
    await rm(path);
    await writeFile(join(home, 'placeholder'), '');
    await writeFile(path, 'one\ntwo\nthree\n');
    assert.equal((await sources.extent({ kind: 'file', path }, [head])).sizeBytes, 14);
    await assert.rejects(sources.open({ kind: 'file', path }, { growing, version: `${version}0` }), changed);
  });

  test('that are cut off or written over while they are read have changed', async () => {
    for (const text of ['one\n', 'ONE\ntwo\nthree\n']) {
      await writeFile(path, 'one\ntwo\n');
      const { sizeBytes, head } = await sources.extent({ kind: 'file', path }, []);
      const { stream } = await sources.open(
        { kind: 'file', path },
        { growing: { untilByte: sizeBytes, head } },
      );
      await writeFile(path, text);
      await assert.rejects(chunksOf(stream), { code: 'SourceChanged' });
    }
  });

  test('lie below a root as others do', async () => {
    await assert.rejects(sources.extent({ kind: 'file', path: '/etc/passwd' }, []), {
      code: 'SourceRefused',
    });
    await assert.rejects(sources.extent({ kind: 'file', path: 'missing' }, []), {
      code: 'SourceUnavailable',
    });
  });
});

describe('URLs', () => {
  let server: Server;
  let port: number;
  let answer: RequestListener;
  let requests: string[];

  before(async () => {
    server = createServer((request, response) => {
      requests.push(request.url ?? '');
      answer(request, response);
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    port = (server.address() as AddressInfo).port;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  function setUp(respond: RequestListener, allow = [`127.0.0.1:${port}`]): Sources {
    requests = [];
    answer = respond;
    return createSources({ fileRoots: [], egressAllow: allow });
  }
  const at = (path: string): AcceptedSource => ({ kind: 'http', url: `http://127.0.0.1:${port}${path}` });

  sourceConformance('http', async () => {
    let respond: RequestListener = (_, response) => response.end();
    let version = 0;
    return {
      sources: setUp((request, response) => respond(request, response)),
      source: at('/'),
      write: async (text) => {
        const etag = `"${++version}"`;
        respond = (_, response) => response.setHeader('etag', etag).end(text);
      },
      fail: async () => {
        respond = (_, response) => response.writeHead(503).end();
      },
    };
  });

  test('a host that the operator named is read, with its version', async () => {
    const sources = setUp((_, response) => response.setHeader('etag', '"1"').end('a\n1\n'));
    const { version } = await sources.open(at('/'));
    assert.equal(version, '"1"');
    assert.equal(await readAll(sources, at('/')), 'a\n1\n');
  });

  test('reading goes on at a byte, whether the server knows ranges or not', async () => {
    const ranged = setUp((request, response) => {
      assert.equal(request.headers.range, 'bytes=2-');
      assert.equal(request.headers['if-range'], '"1"');
      response.writeHead(206, { etag: '"1"', 'content-range': 'bytes 2-3/4' }).end('1\n');
    });
    assert.equal(await readAll(ranged, at('/'), { fromByte: 2, version: '"1"' }), '1\n');
    const plain = setUp((_, response) => response.setHeader('etag', '"1"').end('a\n1\n'));
    assert.equal(await readAll(plain, at('/'), { fromByte: 2, version: '"1"' }), '1\n');
    const atEnd = setUp((_, response) =>
      response.writeHead(416, { etag: '"1"', 'content-range': 'bytes */4' }).end(),
    );
    assert.equal(await readAll(atEnd, at('/'), { fromByte: 4, version: '"1"' }), '');
  });

  test('an error of the server and a broken body are unavailable; an encoding that was not requested is rejected', async () => {
    for (const status of [408, 425, 429, 500, 503, 206, 304]) {
      const sources = setUp((_, response) => response.writeHead(status).end());
      await assert.rejects(sources.open(at('/')), { code: 'SourceUnavailable' });
    }
    const broken = setUp((_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half', () => response.destroy());
    });
    await assert.rejects(readAll(broken, at('/')), { code: 'SourceUnavailable' });
    const zipped = setUp((_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'));
    await assert.rejects(zipped.open(at('/')), {
      code: 'SourceRejected',
      publicDetail: 'It answered with the content encoding br, which was not requested.',
    });
  });

  test('says by what the server compressed the data, which it is asked for where that was declared', async () => {
    const asked: unknown[] = [];
    const sources = setUp((request, response) => {
      asked.push(request.headers['accept-encoding']);
      response.writeHead(200, { 'content-encoding': 'x-gzip' }).end('x');
    });
    assert.equal((await sources.open(at('/'))).encoding, 'gzip');
    assert.equal((await sources.open(at('/'), { compression: 'zstd' })).encoding, 'gzip');
    assert.deepEqual(asked, ['identity', 'zstd, identity;q=0.5']);
    await assert.rejects(sources.open(at('/'), { fromByte: 2 }), { code: 'SourceChanged' });
  });

  test('a body of which only the end of the connection says that it is whole is rejected', async () => {
    const raw = async (head: string, body = 'a\n1\n') => {
      const server = createTcpServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n${head}\r\n${body}`));
      });
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const { port } = server.address() as AddressInfo;
      try {
        const host = `127.0.0.1:${port}`;
        return await readAll(createSources({ fileRoots: [], egressAllow: [host] }), {
          kind: 'http',
          url: `http://${host}/`,
        });
      } finally {
        server.close();
      }
    };
    await assert.rejects(raw(''), { code: 'SourceRejected', publicDetail: /without Content-Length/ });
    await assert.rejects(raw('Transfer-Encoding: gzip\r\n'), { code: 'SourceRejected' });
    await assert.rejects(raw('Content-Length: 8\r\n'), { code: 'SourceUnavailable' });
    const chunked = 'Transfer-Encoding: chunked\r\n';
    for (const cut of ['4\r\na\n1\n\r\n', '8\r\na\n1\n', '4\r\na\n1\n\r\n0\r\n'])
      await assert.rejects(raw(chunked, cut), { code: 'SourceUnavailable' }, cut);
    assert.equal(await raw(chunked, '4\r\na\n1\n\r\n0\r\n\r\n'), 'a\n1\n');
    // Compressed data may have several members, and a cut between two of them would look whole.
    const members = [1, 2].map((n) => gzipSync(`${n}\n`).toString('latin1'));
    for (const body of [members.join(''), members[0]])
      await assert.rejects(raw('Content-Encoding: gzip\r\n', body), { code: 'SourceRejected' });
  });

  test('a status that no retry changes is a rejection, which names it', async () => {
    for (const status of [400, 401, 403, 404, 410, 416, 451]) {
      const sources = setUp((_, response) => response.writeHead(status).end());
      const rejected = { code: 'SourceRejected', publicDetail: `It answered ${status}.` };
      await assert.rejects(sources.open(at('/')), rejected);
    }
  });

  test('an aborted read ends with the reason', async () => {
    const sources = setUp((_, response) => response.write('first'));
    const aborter = new AbortController();
    const { stream } = await sources.open(at('/'), { signal: aborter.signal });
    const reason = new Error('enough');
    await assert.rejects(async () => {
      for await (const _ of stream) aborter.abort(reason);
    }, reason);
  });

  test('five redirects are followed and a sixth is refused', async () => {
    const respond: RequestListener = (request, response) => {
      const left = Number(request.url?.slice(1));
      if (left > 0) response.writeHead(302, { location: `/${left - 1}` }).end();
      else response.end('there');
    };
    assert.equal(await readAll(setUp(respond), at('/5')), 'there');
    await assert.rejects(setUp(respond).open(at('/6')), { code: 'SourceRefused' });
  });

  const redirects = [
    'http://localhost:9/',
    'http://169.254.169.254/latest/meta-data/',
    'file:///etc/passwd',
    'http://[::1]/',
  ];
  for (const location of redirects) {
    test(`a redirect to ${location} is refused`, async () => {
      const sources = setUp((_, response) => response.writeHead(307, { location }).end());
      await assert.rejects(sources.open(at('/')), { code: 'SourceRefused' });
    });
  }

  const forbidden = [
    '2130706433',
    '0x7f000001',
    '0x7f.1',
    '0177.0.0.1',
    '127.1',
    '127.0.0.1',
    '127.0.0.1.',
    '①②⑦.⓪.⓪.①',
    '[::1]',
    '[::ffff:7f00:1]',
    '[::ffff:127.0.0.1]',
    '[0:0:0:0:0:ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '0.0.0.0',
    '0',
    '[::]',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'anything.localhost',
    '[fec0::1]',
    '[4000::1]',
    '[2001:db8::1]',
    '[2001::1]',
    '169.254.169.254',
    '2852039166',
    '0xa9fea9fe',
    '[::ffff:169.254.169.254]',
    '[fd00:ec2::254]',
    '[fe80::1]',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.0.1',
    '100.64.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '168.63.129.16',
  ];
  for (const host of forbidden) {
    test(`http://${host}/ is rejected and no host is called`, async () => {
      const sources = setUp((_, response) => response.end('reached'), []);
      const url = `http://${host}:${port}/`;
      await assert.rejects(sources.open({ kind: 'http', url }), { code: 'SourceRefused' });
      assert.deepEqual(requests, []);
    });
  }

  test('other protocols, credentials and what is no URL are refused', async () => {
    const sources = setUp((_, response) => response.end());
    for (const url of [
      `http://me:secret@127.0.0.1:${port}/`,
      'ftp://example.com/',
      'data:,x',
      'nonsense',
      '',
    ]) {
      await assert.rejects(sources.open({ kind: 'http', url }), { code: 'SourceRefused' });
    }
  });

  test('a name that leads to an address that is not public is refused, also when only one of its addresses is', async () => {
    setUp((_, response) => response.end('reached'));
    for (const addresses of [
      ['127.0.0.1'],
      ['169.254.169.254'],
      ['fd00:ec2::254'],
      ['93.184.216.34', '127.0.0.1'],
    ]) {
      const sources = createSources({ fileRoots: [], egressAllow: [], lookup: answering(() => addresses) });
      const url = `http://rebind.example:${port}/`;
      await assert.rejects(sources.open({ kind: 'http', url }), { code: 'SourceRefused' });
    }
    assert.deepEqual(requests, []);
  });

  test('an allowed host and port does not allow another port or another name of the same host', async () => {
    const sources = setUp(
      (_, response) => response.end('reached'),
      [`127.0.0.1:${port + 1}`, `example.com:${port}`, '127.0.0.1', '*'],
    );
    await assert.rejects(sources.open(at('/')), { code: 'SourceRefused' });
    const named = setUp((_, response) => response.end('reached'), [`localhost:${port}`]);
    await assert.rejects(named.open(at('/')), { code: 'SourceRefused' });
    assert.equal(await readAll(named, { kind: 'http', url: `http://localhost:${port}/` }), 'reached');
  });
});

describe('a URL that is read as the caller', () => {
  const seen: { at: string; authorization: string | undefined }[] = [];
  const servers: Server[] = [];
  let answers: Record<string, RequestListener>;
  let allow: string[];
  let given: string[];
  let obtained: string[];

  before(async () => {
    for (const name of ['a', 'b']) {
      const server = createServer((request, response) => {
        seen.push({ at: `${name}${request.url}`, authorization: request.headers.authorization });
        answers[`${name}${request.url}`]!(request, response);
      });
      await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
      servers.push(server);
    }
    allow = servers.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  after(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });
  beforeEach(() => {
    seen.length = 0;
    given = ['t1', 't2', 't3'];
    obtained = [];
  });

  const urlOf = (name: string, path: string) => `http://${allow[name === 'a' ? 0 : 1]}${path}`;
  const redirect =
    (name: string, path: string): RequestListener =>
    (_, response) =>
      response.writeHead(302, { location: urlOf(name, path) }).end();
  const token = async (origin: string) => {
    obtained.push(origin);
    return given.shift()!;
  };
  const read = (options: OpenOptions = { token }) =>
    readAll(
      createSources({ fileRoots: [], egressAllow: allow }),
      { kind: 'http', url: urlOf('a', '/') },
      options,
    );
  const sent = () => seen.map(({ at, authorization }) => `${at} ${authorization}`);

  test('is asked with a token for its origin', async () => {
    answers = { 'a/': (_, response) => response.end('data') };
    assert.equal(await read(), 'data');
    assert.deepEqual(sent(), ['a/ Bearer t1']);
    assert.deepEqual(obtained, [`http://${allow[0]}`]);
    assert.equal(await read({}), 'data');
    assert.equal(seen[1]!.authorization, undefined, 'and without one where none is given');
  });

  test('keeps the token on the way to another place of its origin', async () => {
    answers = { 'a/': redirect('a', '/moved'), 'a/moved': (_, response) => response.end('data') };
    assert.equal(await read(), 'data');
    assert.deepEqual(sent(), ['a/ Bearer t1', 'a/moved Bearer t1']);
  });

  test('loses it on the way to another origin, for good', async () => {
    answers = {
      'a/': redirect('b', '/'),
      'b/': redirect('a', '/chosen-by-b'),
      'a/chosen-by-b': (_, response) => response.end('data'),
    };
    assert.equal(await read(), 'data');
    assert.deepEqual(sent(), ['a/ Bearer t1', 'b/ undefined', 'a/chosen-by-b undefined']);
    assert.deepEqual(obtained, [`http://${allow[0]}`]);
  });

  test('is asked once more with a new token where the server refuses the one before', async () => {
    answers = {
      'a/': ({ headers }, response) =>
        headers.authorization === 'Bearer t2' ? response.end('data') : response.writeHead(401).end(),
    };
    assert.equal(await read(), 'data');
    assert.deepEqual(sent(), ['a/ Bearer t1', 'a/ Bearer t2']);
    answers = { 'a/': (_, response) => response.writeHead(401).end() };
    seen.length = 0;
    given = ['t4', 't5', 't6'];
    await assert.rejects(read(), { code: 'SourceRejected' });
    assert.deepEqual(sent(), ['a/ Bearer t4', 'a/ Bearer t5']);
    seen.length = 0;
    await assert.rejects(read({}), { code: 'SourceRejected' });
    assert.equal(seen.length, 1);
  });

  test('is not asked at all where there is no token, or where others could read it on the way', async () => {
    answers = { 'a/': (_, response) => response.end('data') };
    const refused = { token: () => Promise.reject(new WaybillError('TokenUnavailable')) };
    await assert.rejects(read(refused), { code: 'TokenUnavailable' });
    const sources = createSources({
      fileRoots: [],
      egressAllow: [],
      lookup: answering(() => ['93.184.216.34']),
    });
    await assert.rejects(sources.open({ kind: 'http', url: 'http://example.com/' }, { token }), {
      code: 'SourceRefused',
    });
    assert.deepEqual([seen, obtained], [[], []]);
    const inputs = createInputs({ fileRoots: [], egressAllow: ['named.example:80'] });
    const defined = { kind: 'http', format: { name: 'ndjson' } };
    const asked = (url: string, auth: object = { auth: 'caller' }) =>
      inputs.accept({ ...defined, ...auth }, { source: { url }, records: false });
    await assert.rejects(asked('http://example.com/'), { code: 'SourceRefused' });
    await asked('https://example.com/');
    await asked('http://named.example/');
    await asked('http://example.com/', {});
  });
});

/** A resolver with answers of the test. */
function answering(addressesOf: (name: string) => string[]): never {
  const lookup = (name: string, _: unknown, callback: (error: null, addresses: object[]) => void) =>
    callback(
      null,
      addressesOf(name).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  return lookup as never;
}
