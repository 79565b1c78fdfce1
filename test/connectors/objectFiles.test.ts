import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { z } from 'zod';
import { connectors } from '../../connectors/index.ts';
import { getObject, listObjects } from '../../connectors/s3/s3Objects.ts';
import { destinationsOf } from '../../domain/connectors/connectors.ts';
import type { SinkManifest } from '../../domain/pipelines/manifest.ts';
import type { DestinationRun } from '../../domain/ports/destinations.ts';
import { decimal, definePipeline, inline, objectFiles } from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';
import { destinationConformance } from '../conformance/destinations.ts';
import { encodingConformance } from '../conformance/sinks.ts';
import { noS3Server, type S3Server, startS3Server } from '../support/s3Server.ts';

const folder = { url: 's3://lake/orders/', credentials: 'lake' };

function sinkOf(format: 'parquet' | 'ndjson', columns: SinkManifest['columns']): SinkManifest {
  return connectors.sink('objectFiles').describe({ ...objectFiles({ ...folder, format }) }, columns);
}

for (const format of ['parquet', 'ndjson'] as const)
  encodingConformance(
    `objectFiles of ${format}`,
    sinkOf(format, [
      { name: 'id', type: 'integer', nullable: false },
      { name: 'note', type: 'text', nullable: true },
    ]),
    { keeps: 'all' },
  );

describe('rows in files', () => {
  const types = {
    text: 'é "\n',
    integer: -2_147_483_648,
    bigint: 9_223_372_036_854_775_807n,
    numeric: '123456789012345678901234567890.5',
    'double precision': 0.1,
    boolean: false,
    timestamptz: '2026-01-31T23:59:59.123456Z',
    date: '0001-01-01',
    time: '23:59:59.5',
    uuid: '01a22217-54b9-700f-b598-62f5b3e55243',
    jsonb: { a: [1, null, 12345678901234567890n] },
  } as const;
  const columns = Object.keys(types).map(
    (type) => ({ name: type, type, nullable: true }) as SinkManifest['columns'][number],
  );
  const rows = [types, Object.fromEntries(Object.keys(types).map((type) => [type, null]))];
  const texts = [
    [
      'é "\n',
      '-2147483648',
      '9223372036854775807',
      types.numeric,
      '0.1',
      'false',
      types.timestamptz,
      '0001-01-01',
    ],
    ['23:59:59.5', types.uuid, '{"a":[1,null,12345678901234567890]}'],
  ].flat();

  function encode(sink: SinkManifest): Uint8Array {
    const writer = connectors.sink(sink.kind).encoder(sink).begin(1);
    assert.equal(writer.add(0, rows), undefined);
    return writer.finish().bytes;
  }

  it('of NDJSON have each digit', async () => {
    const sink = sinkOf('ndjson', columns);
    const bytes = encode(sink);
    assert.deepEqual(await connectors.sink(sink.kind).encoder(sink).read(bytes, 9), [
      texts,
      texts.map(() => null),
    ]);
    const [first] = Buffer.from(bytes).toString().split('\n');
    assert.ok(
      first!.includes('"bigint":9223372036854775807,"numeric":123456789012345678901234567890.5,'),
      first,
    );
  });

  it('of Parquet have the type that keeps their value', async () => {
    const sink = sinkOf('parquet', columns);
    const bytes = encode(sink);
    const { buffer } = new Uint8Array(bytes);
    const logical = parquetMetadata(buffer)
      .schema.slice(1)
      .map(({ type, logical_type }) => logical_type?.type ?? type);
    assert.deepEqual(logical, [
      ...[
        'STRING',
        'INT32',
        'INT64',
        'STRING',
        'DOUBLE',
        'BOOLEAN',
        'TIMESTAMP',
        'DATE',
        'TIME',
        'UUID',
        'STRING',
      ],
    ]);
    const [row, none] = await parquetReadObjects({
      file: { byteLength: buffer.byteLength, slice: (from: number, to: number) => buffer.slice(from, to) },
      parsers: { timestampFromMicroseconds: (micros: bigint) => micros },
    } as never);
    assert.equal(row!.bigint, types.bigint);
    assert.equal(row!.timestamptz, BigInt(Date.parse('2026-01-31T23:59:59Z')) * 1_000n + 123_456n);
    assert.equal(row!.time, 86_399_500_000n);
    assert.deepEqual(
      Object.values(none!),
      Object.keys(types).map(() => null),
    );
    const [read] = await connectors.sink(sink.kind).encoder(sink).read(bytes, 1);
    assert.deepEqual(read, texts);
  });

  it('reject what neither can hold', async () => {
    const sink = sinkOf('ndjson', columns);
    const writer = connectors.sink(sink.kind).encoder(sink).begin(1);
    const wrong = writer.add(0, [{ 'double precision': Number.POSITIVE_INFINITY }]);
    assert.deepEqual([wrong?.code, wrong?.path], ['NotJson', 'double precision']);
  });
});

describe('a definition of files in a bucket', () => {
  const define = (options: object) =>
    definePipeline({
      id: 'lake',
      source: inline(),
      input: z.strictObject({ id: z.string(), amount: decimal(12, 2) }),
      sink: objectFiles({ ...folder, format: 'parquet', ...options }),
    });

  it('writes at the end of a run', async () => {
    const { manifest } = define({});
    assert.equal(manifest.sink.atEnd, 'append');
    const { counts, stored } = await testPipeline(define({}), [
      { id: 'a', amount: 1 },
      { id: 'a', amount: 1 },
    ]);
    assert.deepEqual([counts.stored, counts.deduplicated, stored.length], [2, 0, 2]);
  });

  it('says what it cannot be', () => {
    for (const [option, path] of [
      [{ url: 's3://lake/orders' }, 'sink.url'],
      [{ url: 'https://lake/' }, 'sink.url'],
      [{ format: 'csv' }, 'sink.format'],
      [{ credentials: '../key' }, 'sink.credentials'],
      [{ endpoint: 'ftp://host' }, 'sink.endpoint'],
    ] as const)
      assert.throws(
        () => define(option),
        (error: { issues?: { path: string }[] }) => error.issues?.[0]?.path === path,
        JSON.stringify(option),
      );
  });
});

describe('files in a bucket', { skip: noS3Server }, () => {
  let server: S3Server;
  let made: Awaited<ReturnType<S3Server['newBucket']>>;
  before(async () => {
    server = await startS3Server();
    made = await server.newBucket();
  });
  after(() => server?.stop());

  function open(change: { egressAllow?: string[]; credentials?: string } = {}) {
    const settings = {
      egressAllow: change.egressAllow ?? [server.host],
      credentials: () => ({ current: async () => change.credentials ?? server.credentials }),
    };
    const sink = {
      ...sinkOf('ndjson', [{ name: 'id', type: 'integer', nullable: false }]),
      ...{ url: `s3://${made.bucket}/${randomUUID()}/`, endpoint: server.endpoint },
    };
    const run: DestinationRun = {
      ...{
        tenant: 'acme',
        runId: `orders-${randomUUID()}`,
        pipeline: 'orders',
        version: 1,
        definitionDigest: 'd',
      },
      sink,
    };
    return { destinations: destinationsOf(connectors, settings), run };
  }
  const folderOf = ({ sink, tenant, pipeline, runId }: DestinationRun) =>
    `${String(sink.url).split('/')[3]}/${tenant}/${pipeline}/${runId}/`;
  async function names(run: DestinationRun): Promise<string[]> {
    const found: string[] = [];
    for await (const { key, etag, lastModified } of listObjects(made.requests, { prefix: folderOf(run) }))
      found.push(`${key} ${etag} ${lastModified}`);
    return found;
  }
  async function read(key: string): Promise<Buffer> {
    return Buffer.from(await (await getObject(made.requests, key)).body.arrayBuffer());
  }
  async function readRun(run: DestinationRun) {
    const key = `${folderOf(run)}_manifest.json`;
    if (!(await names(run)).some((name) => name.startsWith(key))) return undefined;
    const manifest = JSON.parse((await read(key)).toString());
    assert.deepEqual([manifest.run, manifest.tenant, manifest.format], [run.runId, run.tenant, 'ndjson']);
    const files: Buffer[] = [];
    for (const { key, sha256, sizeBytes } of manifest.files) {
      const bytes = await read(key);
      assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256);
      assert.equal(bytes.length, sizeBytes);
      files.push(bytes);
    }
    return { rows: manifest.rows, files };
  }

  destinationConformance(async () => ({ ...open(), names, readRun }));

  const file = { seq: 7, rows: 1, sizeBytes: 1, sha256: createHash('sha256').update('x').digest('hex') };
  const write = ({ destinations, run }: ReturnType<typeof open>) =>
    destinations.write(run, {
      ...file,
      async *chunks() {
        yield Buffer.from('x');
      },
    });

  it('have keys that tenant, pipeline, run and batch give', async () => {
    const tested = open();
    await write(tested);
    const [name] = await names(tested.run);
    assert.equal(name!.split(' ')[0], `${folderOf(tested.run)}00000007.ndjson`);
  });

  it('are written to public addresses or allowed hosts only, and wait for keys that hold', async () => {
    await assert.rejects(write(open({ egressAllow: [] })), { code: 'SinkRefused' });
    const wrong = server.credentials.replace(/(secret_access_key = )./, '$1?');
    await assert.rejects(write(open({ credentials: wrong })), { code: 'SinkUnavailable' });
    const { destinations, run } = open();
    const gone = { ...run, sink: { ...run.sink, url: 's3://no-such-bucket/x/' } };
    await assert.rejects(write({ destinations, run: gone }), { code: 'SinkUnavailable' });
  });
});
