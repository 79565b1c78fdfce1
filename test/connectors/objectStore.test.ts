import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { connectors } from '../../connectors/index.ts';
import { deleteObjects } from '../../connectors/s3/s3Objects.ts';
import type { S3Requests } from '../../connectors/s3/s3Requests.ts';
import { globExpression, parseS3Url } from '../../connectors/s3/s3Url.ts';
import { createInputs, createSources } from '../../connectors/sources/createSources.ts';
import { grantedSteps } from '../../domain/grants/grant.ts';
import type { Sources } from '../../domain/ports/sources.ts';
import type { AcceptedSource } from '../../domain/sources/source.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import type { ObjectsMark } from '../../domain/sources/watermark.ts';
import { definePipeline, ndjson, objectStore, postgres } from '../../sdk/index.ts';
import { sourceConformance } from '../conformance/sources.ts';
import { noS3Server, type S3Server, startS3Server } from '../support/s3Server.ts';

describe('URLs and globs of an object store', () => {
  it('name a bucket and a key, as it is written', () => {
    assert.deepEqual(parseS3Url('s3://lake/a b/ü+%20.csv'), { bucket: 'lake', key: 'a b/ü+%20.csv' });
    assert.deepEqual(parseS3Url('s3://lake/'), { bucket: 'lake', key: '' });
    for (const text of [
      's3://lake',
      's3://Lake/x',
      's3:///x',
      'https://lake/x',
      's3://u:p@lake/x',
      's3://lake/\0',
    ])
      assert.equal(parseS3Url(text), undefined, text);
  });

  it('a glob fits whole keys', () => {
    const fits = (glob: string, ...keys: string[]) => keys.filter((key) => globExpression(glob).test(key));
    const keys = ['a.csv', 'b/a.csv', 'b/c/a.csv', 'a.csv.gz', 'a+csv', 'b/x.ndjson'];
    assert.deepEqual(fits('*.csv', ...keys), ['a.csv']);
    assert.deepEqual(fits('**/*.csv', ...keys), ['a.csv', 'b/a.csv', 'b/c/a.csv']);
    assert.deepEqual(fits('b/**', ...keys), ['b/a.csv', 'b/c/a.csv', 'b/x.ndjson']);
    assert.deepEqual(fits('?/*.{csv,ndjson}', ...keys), ['b/a.csv', 'b/x.ndjson']);
    assert.deepEqual(fits('{a', ...keys), []);
    assert.deepEqual(fits('[a](b)^$|.\\', '[a](b)^$|.\\', 'a'), ['[a](b)^$|.\\']);
  });
});

describe('a definition of an object source', () => {
  const define = (options: Parameters<typeof objectStore>[1]) =>
    definePipeline({
      id: 'lake',
      source: objectStore(ndjson(), options),
      input: z.strictObject({ id: z.string() }),
      sink: postgres({ table: 'lake', key: ['id'] }),
    }).manifest.source;

  it('says what it cannot be', () => {
    assert.equal(define({ url: 's3://lake/orders/', glob: '*.ndjson' }).glob, '*.ndjson');
    assert.throws(
      () => define({ url: 's3://lake/one.ndjson', cursor: 'key' }),
      /s3:\/\/lake\/one.ndjson is one object/,
    );
    assert.throws(() => define({ url: 'https://lake/orders/' }), /must be s3:\/\/bucket\/key/);
    assert.throws(() => define({ url: 's3://lake/', credentials: '../keys' }), /must be a name/);
  });

  it('lets a caller name a part of it alone, on public addresses alone', async () => {
    const inputs = createInputs({ fileRoots: [], egressAllow: [] });
    const source = define({
      url: 's3://lake/orders/',
      glob: '**/*.ndjson',
      credentials: 'lake',
      region: 'eu-central-1',
    });
    const accept = (url: string) => inputs.accept(source, { source: { url }, records: false });
    assert.deepEqual(await accept('s3://lake/orders/2026/'), {
      kind: 'objectStore',
      url: 's3://lake/orders/2026/',
      glob: '**/*.ndjson',
      below: 's3://lake/orders/',
      credentials: 'lake',
      region: 'eu-central-1',
    });
    for (const url of [
      's3://lake/others/x',
      's3://other/orders/x',
      's3://lake/orders',
      'https://lake/orders/',
    ])
      await assert.rejects(accept(url), { code: 'SourceInvalid' }, url);
    const inside = define({ url: 's3://lake/orders/', endpoint: 'http://169.254.169.254' });
    await assert.rejects(inputs.accept(inside, { source: undefined, records: false }), {
      code: 'SourceRefused',
    });
    const open = define({
      url: 's3://lake/orders/',
      endpoint: 'http://storage.example',
      credentials: 'lake',
    });
    await assert.rejects(inputs.accept(open, { source: undefined, records: false }), {
      code: 'SourceRefused',
    });
  });
});

describe('every kind of source that Waybill reads itself', () => {
  for (const { kind } of connectors.sources.filter(({ delivery }) => delivery === 'pulled'))
    it(`${kind}: the grant allows the step that reads it, and is bound to what is read`, () => {
      assert.ok(grantedSteps({ source: { kind } }).includes('fetch'));
      const [one, other] = ['a', 'b'].map((url) => describeSource({ runId: 'r', source: { kind, url } }));
      assert.notEqual(one, other);
    });
});

describe('objects of an S3 server', { skip: noS3Server, timeout: 60_000 }, () => {
  let server: S3Server;
  let sources: Sources;
  let isDown = false;
  before(async () => {
    server = await startS3Server();
    sources = createSources({
      fileRoots: [],
      egressAllow: [server.host],
      credentials: (name) => ({ current: async () => (name === 'lake' ? server.credentials : '') }),
    });
  });
  after(() => server?.stop());

  async function open(options: Partial<AcceptedSource> = {}) {
    if (isDown) await server.start();
    isDown = false;
    const { bucket, requests } = await server.newBucket();
    const source: AcceptedSource = {
      kind: 'objectStore',
      url: `s3://${bucket}/in/`,
      endpoint: server.endpoint,
      credentials: 'lake',
      ...options,
    };
    return { bucket, requests, source };
  }
  async function put(requests: S3Requests, key: string, text: string): Promise<void> {
    await (await requests.send({ method: 'PUT', key, body: Buffer.from(text) })).body.dump();
  }
  async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }
  const keysOf = (bucket: string, { objects }: Awaited<ReturnType<Sources['list']>>) =>
    objects.map(({ url }) => url.replace(`s3://${bucket}/in/`, ''));

  sourceConformance('objectStore', async () => {
    const { bucket, requests, source } = await open();
    return {
      sources,
      source: { ...source, url: `s3://${bucket}/one` },
      write: (content) => put(requests, 'one', content),
      fail: async () => {
        await server.kill();
        isDown = true;
      },
    };
  });

  it('are listed below the folder alone, by the glob, and read in the order of their keys', async () => {
    const { bucket, requests, source } = await open({ glob: '**/*.ndjson' });
    for (const key of [
      'in/b.ndjson',
      'in/a/ü +&.ndjson',
      'in/c.csv',
      'in/a/',
      'inner.ndjson',
      'other/d.ndjson',
    ])
      await put(requests, key, key.endsWith('/') ? '' : key);
    const listed = await sources.list(source, undefined);
    assert.deepEqual(keysOf(bucket, listed), ['a/ü +&.ndjson', 'b.ndjson']);
    assert.equal(listed.through, undefined);
    for (const object of listed.objects) {
      const opened = await sources.open(source, { object });
      assert.equal(await text(opened.stream), object.url.replace(`s3://${bucket}/`, ''));
      assert.equal(opened.version, object.version);
    }
    const part = { ...source, below: source.url!, url: `${source.url}a/` };
    assert.deepEqual(keysOf(bucket, await sources.list(part, undefined)), ['a/ü +&.ndjson']);
  });

  it('that changed or vanished after the list are SourceChanged', async () => {
    const { requests, source } = await open();
    await put(requests, 'in/a', 'before');
    await put(requests, 'in/b', 'before');
    const { objects } = await sources.list(source, undefined);
    await put(requests, 'in/a', 'behind');
    await deleteObjects(requests, ['in/b']);
    for (const object of objects)
      for (const fromByte of [0, 3])
        await assert.rejects(sources.open(source, { object, fromByte }), { code: 'SourceChanged' });
  });

  it('are listed once by key: those behind the last one', async () => {
    const { bucket, requests, source } = await open({ order: 'key' });
    await put(requests, 'in/2026-01-01', 'x');
    await put(requests, 'in/2026-01-02', 'x');
    const first = await sources.list(source, undefined);
    assert.deepEqual(keysOf(bucket, first), ['2026-01-01', '2026-01-02']);
    assert.deepEqual(first.through, { kind: 'objects', value: 'in/2026-01-02' });
    await put(requests, 'in/2026-01-03', 'x');
    assert.deepEqual(keysOf(bucket, await sources.list(source, first.through)), ['2026-01-03']);
    const nothing = await sources.list(source, { kind: 'objects', value: 'in/2026-01-03' });
    assert.deepEqual(nothing, { objects: [] });
  });

  it('are listed once by time, also those of one second and those that changed within it', async () => {
    const { bucket, requests, source } = await open({ order: 'lastModified' });
    const read: string[] = [];
    let mark: ObjectsMark | undefined;
    const next = async () => {
      const listed = await sources.list(source, mark);
      mark = listed.through ?? mark;
      read.push(...keysOf(bucket, listed));
    };
    for (const key of ['c', 'a', 'b', 'a']) {
      await put(requests, `in/${key}`, `${key} ${read.length}`);
      await next();
    }
    await next();
    assert.deepEqual(read, ['c', 'a', 'b', 'a']);
  });

  it('say what is wrong: no bucket, no rights, no credential of that name', async () => {
    const { requests, source } = await open();
    await put(requests, 'in/a', 'x');
    const list = (other: Partial<AcceptedSource>) => sources.list({ ...source, ...other }, undefined);
    await assert.rejects(list({ url: 's3://absent-bucket/' }), { code: 'SourceRejected' });
    await assert.rejects(list({ credentials: 'absent' }), { code: 'SourceUnavailable' });
    const { credentials: _, ...unsigned } = source;
    await assert.rejects(sources.list(unsigned, undefined), { code: 'SourceUnavailable' });
    const outside = createSources({ fileRoots: [], egressAllow: [] });
    await assert.rejects(outside.list(source, undefined), { code: 'SourceRefused' });
    await assert.rejects(outside.open(source), { code: 'SourceRefused' });
  });
});
