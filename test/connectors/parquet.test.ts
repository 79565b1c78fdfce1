import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { z } from 'zod';
import { decimal, definePipeline, json, parquet, postgres, rowDigest, upload } from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';

type Options = Parameters<typeof parquetWriteBuffer>[0];

async function run(fields: z.core.$ZodShape, bytes: Uint8Array, limits = {}) {
  const pipeline = definePipeline({
    id: 'columns',
    source: upload(parquet()),
    limits,
    input: z.strictObject(fields),
    sink: postgres({ table: 'columns', key: rowDigest() }),
  } as never);
  const { stored, rejected, counts } = await testPipeline(pipeline as never, bytes);
  return {
    stored,
    rejected: rejected.map(({ rowGroup, line, code, path }) => [rowGroup, line, code, path]),
    counts,
  };
}

const write = (options: Options) => new Uint8Array(parquetWriteBuffer(options));

describe('Parquet', () => {
  it('gives whole numbers, decimals and times with each digit, and null', async () => {
    const schema: Options['schema'] = [
      { name: 'root', num_children: 6 },
      { name: 'id', type: 'INT64', repetition_type: 'REQUIRED' },
      { name: 'small', type: 'INT64', repetition_type: 'OPTIONAL' },
      {
        name: 'price',
        type: 'INT64',
        repetition_type: 'REQUIRED',
        converted_type: 'DECIMAL',
        scale: 2,
        precision: 18,
      },
      {
        name: 'at',
        type: 'INT64',
        repetition_type: 'REQUIRED',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
      },
      {
        name: 'local',
        type: 'INT64',
        repetition_type: 'REQUIRED',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, unit: 'MILLIS' },
      },
      { name: 'day', type: 'INT32', repetition_type: 'REQUIRED', converted_type: 'DATE' },
    ];
    const at = new Date('2026-01-01T00:00:00.250Z');
    const bytes = write({
      schema,
      columnData: [
        { name: 'id', data: [9007199254740993n, -(2n ** 63n)] },
        { name: 'small', data: [7n, null] },
        { name: 'price', data: [12.5, -0.01] },
        { name: 'at', data: [at, new Date('1969-12-31T23:59:59.999Z')] },
        { name: 'local', data: [at, at] },
        { name: 'day', data: [new Date('2026-01-01'), new Date('1900-02-28')] },
      ],
    });
    const { stored, rejected } = await run(
      {
        id: z.int64(),
        small: z.int32().nullable(),
        price: decimal(18, 2),
        at: z.iso.datetime(),
        local: z.iso.datetime({ local: true }),
        day: z.iso.date(),
      },
      bytes,
    );
    assert.deepEqual(rejected, []);
    const local = '2026-01-01T00:00:00.25';
    assert.deepEqual(stored, [
      {
        id: 9007199254740993n,
        small: 7,
        price: '12.5',
        at: '2026-01-01T00:00:00.25Z',
        local,
        day: '2026-01-01',
      },
      {
        id: -(2n ** 63n),
        small: null,
        price: '-0.01',
        at: '1969-12-31T23:59:59.999Z',
        local,
        day: '1900-02-28',
      },
    ]);
  });

  it('is cut by rows and row groups, and names the row that is rejected', async () => {
    const n = 25;
    const data = Array.from({ length: n }, (_, i) => BigInt(i === 17 ? 2n ** 60n + 1n : i));
    const x = Array.from({ length: n }, (_, i) => (i === 3 ? Number.NaN : i / 2));
    const bytes = write({
      columnData: [
        { name: 'id', data, type: 'INT64' },
        { name: 'x', data: x, type: 'DOUBLE' },
      ],
      rowGroupSize: 10,
    });
    for (const batchRecords of [1, 4, 100]) {
      const { stored, rejected, counts } = await run({ id: z.int(), x: z.number() }, bytes, { batchRecords });
      assert.equal(counts.read, n);
      assert.equal(stored.length, n - 2);
      assert.deepEqual(rejected, [
        [0, 3, 'MalformedJson', ''],
        [1, 7, 'NumberInexact', 'id'],
      ]);
    }
  });

  it('ends the run where it is cut off or no Parquet', async () => {
    const bytes = write({ columnData: [{ name: 'id', data: [1, 2, 3], type: 'INT32' }] });
    const broken = [
      bytes.subarray(0, bytes.length - 5),
      bytes.subarray(0, 20),
      Buffer.from('{"id":1}\n'),
      Buffer.from('PAR1'),
    ];
    for (const one of broken)
      await assert.rejects(run({ id: z.int32() }, one), { code: 'FormatMismatch' }, String(one.length));
  });
});

describe('one JSON array from the field', () => {
  it('movies.json has 3,201 records, each read as JSON.parse reads it', async () => {
    const bytes = readFileSync(new URL('../../node_modules/vega-datasets/data/movies.json', import.meta.url));
    const expected: object[] = JSON.parse(bytes.toString());
    assert.equal(expected.length, 3_201);
    const pipeline = definePipeline({
      id: 'movies',
      source: upload(json()),
      input: z
        .looseObject({})
        .strict()
        .extend(
          Object.fromEntries(
            Object.keys(expected[0]!).map((name) => [name, z.union([z.string(), z.number()]).nullable()]),
          ),
        ),
      sink: postgres({ table: 'movies', key: rowDigest() }),
      limits: { batchRecords: 500 },
    } as never);
    const { counts, rejected, stored } = await testPipeline(pipeline as never, bytes);
    assert.deepEqual(rejected, []);
    assert.equal(counts.read, 3_201);
    assert.equal(counts.stored + counts.deduplicated, 3_201);
    assert.deepEqual(JSON.stringify(stored[0]), JSON.stringify(expected[0]));
  });
});
