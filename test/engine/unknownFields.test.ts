import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { z } from 'zod';
import {
  knownFieldsOf,
  takeUnknownFields,
  type UnknownFields,
} from '../../domain/pipelines/unknownFields.ts';
import { csv, definePipeline, json, ndjson, parquet, postgres, upload } from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';

const Address = z.strictObject({ city: z.string() });
const Input = z.strictObject({
  id: z.string(),
  address: Address.optional(),
  lines: z.array(z.strictObject({ sku: z.string() })).optional(),
});

function parcels(unknownFields: UnknownFields | undefined, format: object = ndjson()) {
  return definePipeline({
    id: 'parcels',
    source: upload(format as never),
    input: Input,
    ...(unknownFields && { unknownFields }),
    sink: postgres({ table: 'parcels', key: ['id'] }),
  });
}

const record = {
  id: 'a',
  colour: 'red',
  address: { city: 'Oslo', zip: 150 },
  lines: [{ sku: '1' }, { sku: '2', gift: true }],
};
const fitting = { id: 'a', address: { city: 'Oslo' }, lines: [{ sku: '1' }, { sku: '2' }] };
const extra = { colour: 'red', address: { zip: 150 }, lines: { 1: { gift: true } } };

describe('fields that the input does not name', () => {
  for (const [name, format, write] of [
    ['ndjson', ndjson(), (records: object[]) => records.map((r) => `${JSON.stringify(r)}\n`).join('')],
    ['json', json(), (records: object[]) => JSON.stringify(records)],
  ] as const) {
    it(`reject their record by default, with code and path (${name})`, async () => {
      for (const choice of [undefined, 'reject'] as const) {
        const { rejected, stored, unknownFields } = await testPipeline(
          parcels(choice, format),
          write([record, { id: 'b', address: { city: 'Rome', zip: 1 } }, { id: 'c' }]),
        );
        assert.deepEqual(
          rejected.map(({ code, path }) => [code, path]),
          [
            ['UnknownField', 'address.zip'],
            ['UnknownField', 'address.zip'],
          ],
        );
        assert.deepEqual(stored, [{ id: 'c' }]);
        assert.equal(unknownFields, 0);
      }
    });

    it(`are kept where they stood, in _extra of the row (${name})`, async () => {
      const { stored, unknownFields, counts } = await testPipeline(
        parcels('keep', format),
        write([record, { id: 'b' }]),
      );
      assert.deepEqual(stored, [{ ...fitting, _extra: extra }, { id: 'b' }]);
      assert.equal(unknownFields, 3);
      assert.equal(counts.rejected, 0);
    });

    it(`are dropped and counted (${name})`, async () => {
      const { stored, unknownFields } = await testPipeline(
        parcels('drop', format),
        write([record, { id: 'b' }]),
      );
      assert.deepEqual(stored, [fitting, { id: 'b' }]);
      assert.equal(unknownFields, 3);
    });
  }

  it('are columns of CSV beyond those of the input', async () => {
    const tables = (unknownFields?: UnknownFields) =>
      definePipeline({
        id: 'tables',
        source: upload(csv({ columns: { Name: 'id' } })),
        input: z.strictObject({ id: z.string() }),
        ...(unknownFields && { unknownFields }),
        sink: postgres({ table: 'tables', key: ['id'] }),
      });
    const text = 'Name,size,note\na,0x10,\n';
    await assert.rejects(testPipeline(tables(), text), { code: 'HeaderInvalid' });
    const kept = await testPipeline(tables('keep'), text);
    assert.deepEqual(kept.stored, [{ id: 'a', _extra: { size: '0x10', note: '' } }]);
    const dropped = await testPipeline(tables('drop'), text);
    assert.deepEqual([dropped.stored, dropped.unknownFields], [[{ id: 'a' }], 2]);
    await assert.rejects(testPipeline(tables('keep'), 'size\n1\n'), { code: 'HeaderInvalid' });
  });

  it('are columns of Parquet beyond those of the input', async () => {
    const bytes = new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'id', data: ['a'], type: 'STRING' },
          { name: 'big', data: [2n ** 60n + 1n], type: 'INT64' },
        ],
      }),
    );
    const kept = await testPipeline(parcels('keep', parquet()), bytes);
    assert.deepEqual(kept.stored, [{ id: 'a', _extra: { big: 2n ** 60n + 1n } }]);
    const dropped = await testPipeline(parcels('drop', parquet()), bytes);
    assert.deepEqual([dropped.stored, dropped.unknownFields], [[{ id: 'a' }], 1]);
    const { rejected } = await testPipeline(parcels(undefined, parquet()), bytes);
    assert.equal(rejected.length, 1);
  });

  it('keep each digit of a number, and are given no type', async () => {
    const text = '{"id":"a","n":1.0000000000000000000001,"big":9007199254740993,"date":"2026-01-01"}\n';
    const { stored, rejected } = await testPipeline(parcels('keep'), text);
    assert.deepEqual(rejected, []);
    const { n, big, date } = stored[0]!._extra as Record<string, { text?: string }>;
    assert.equal(n!.text, '1.0000000000000000000001');
    assert.deepEqual([big, date], [9007199254740993n, '2026-01-01']);
  });

  it('do not save a record that does not fit', async () => {
    const { rejected, unknownFields } = await testPipeline(parcels('drop'), '{"id":1,"colour":"red"}\n');
    assert.deepEqual([rejected[0]!.path, unknownFields], ['id', 0]);
  });

  it('are as many rows of a record as its transform makes', async () => {
    const split = definePipeline({
      id: 'split',
      source: upload(ndjson()),
      input: z.strictObject({ id: z.string() }),
      output: z.strictObject({ id: z.string() }),
      transform: ({ id }) => [{ id: `${id}1` }, { id: `${id}2` }],
      unknownFields: 'keep',
      sink: postgres({ table: 'split', key: ['id'] }),
    });
    const { stored } = await testPipeline(split, [{ id: 'a', x: null }]);
    assert.deepEqual(stored, [
      { id: 'a1', _extra: { x: null } },
      { id: 'a2', _extra: { x: null } },
    ]);
  });

  it('must be declared by a word that there is', () => {
    assert.throws(() => parcels('ignore' as never), /unknownFields: can only be “reject”, “keep” or “drop”/);
  });
});

describe('what a schema names', () => {
  const taken = (schema: z.ZodType, value: object) => takeUnknownFields(value, knownFieldsOf(schema)).extra;
  interface Tree {
    name: string;
    kids?: Tree[] | undefined;
  }
  const Tree: z.ZodType<Tree> = z.strictObject({
    name: z.string(),
    kids: z.array(z.lazy(() => Tree)).optional(),
  });

  it('is found through unions, tuples, records, defaults and a schema that refers to itself', () => {
    const Either = z.strictObject({
      of: z.union([z.strictObject({ a: z.int() }), z.strictObject({ b: z.int() })]),
    });
    assert.deepEqual(taken(Either, { of: { a: 1, x: 2 } }), { of: { x: 2 } });
    assert.equal(taken(Either, { of: { a: 1, b: 2 } }), undefined);
    const Pair = z.strictObject({ pair: z.tuple([Address, z.string()]).default([{ city: '' }, '']) });
    assert.deepEqual(taken(Pair, { pair: [{ city: '', x: 1 }, ''] }), { pair: { 0: { x: 1 } } });
    const Named = z.strictObject({ by: z.record(z.string(), Address) });
    assert.deepEqual(taken(Named, { by: { home: { city: '', x: 1 } } }), { by: { home: { x: 1 } } });
    assert.deepEqual(
      taken(z.strictObject({ tree: Tree }), { tree: { name: '', kids: [{ name: '', x: 1 }] } }),
      {
        tree: { kids: { 0: { x: 1 } } },
      },
    );
  });

  it('leaves alone what a schema takes as it is', () => {
    for (const open of [
      z.looseObject({}),
      z.unknown(),
      z.preprocess((v) => v, Address),
      z.record(z.string(), z.unknown()),
    ])
      assert.equal(taken(z.strictObject({ any: open }), { any: { x: 1, y: { z: 2 } } }), undefined);
  });
});
