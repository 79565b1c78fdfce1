import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { csv, definePipeline, file, inline, ndjson, postgres, rowDigest, upload } from 'waybill';
import { testPipeline } from 'waybill/testing';
import { z } from 'zod';

const input = z.strictObject({ id: z.string(), n: z.int32().optional() });
const plain = definePipeline({
  id: 'plain',
  source: inline(),
  input,
  sink: postgres({ table: 'plain', key: ['id'] }),
});

describe('testPipeline', () => {
  test('stores the last row of each key and counts the others as deduplicated', async () => {
    const { stored, counts } = await testPipeline(plain, [{ id: 'a', n: 1 }, { id: 'b' }, { id: 'a', n: 2 }]);
    assert.deepEqual(stored, [{ id: 'b' }, { id: 'a', n: 2 }]);
    assert.deepEqual(counts, {
      read: 3,
      passed: 3,
      filtered: 0,
      rejected: 0,
      emitted: 3,
      stored: 2,
      unchanged: 0,
      deduplicated: 1,
    });
  });

  test('refuses what does not fit, with the place and the path', async () => {
    const { rejected, stored } = await testPipeline(plain, [
      { id: 'a' },
      { id: 1 },
      { id: 'b', colour: 'green' },
    ]);
    assert.deepEqual(stored, [{ id: 'a' }]);
    assert.deepEqual(
      rejected.map(({ position, line, byteOffset, code, path }) => [position, line, byteOffset, code, path]),
      [
        [1, 2, 11, 'SchemaMismatch', 'id'],
        [2, 3, 20, 'UnknownField', 'colour'],
      ],
    );
  });

  test('reads bytes in the format of the source, CSV too', async () => {
    const pipeline = definePipeline({
      id: 'semicolons',
      source: file(csv({ delimiter: ';', emptyAs: 'null' })),
      input: z.strictObject({ 'the id': z.string(), n: z.string().pipe(z.coerce.number()).nullable() }),
      sink: postgres({ table: 'semicolons', key: rowDigest() }),
    });
    const { stored, rejected, counts } = await testPipeline(pipeline, {
      bytes: '\uFEFFthe id;n\r\n"a;b";1\r\n\r\nc;\r\nd;1;2\r\nc;\r\n"e";"x\n"\n',
    });
    assert.deepEqual(stored, [
      { 'the id': 'a;b', n: 1 },
      { 'the id': 'c', n: null },
    ]);
    assert.deepEqual(
      rejected.map(({ line, code }) => [line, code]),
      [
        [5, 'WrongColumnCount'],
        [7, 'SchemaMismatch'],
      ],
    );
    assert.deepEqual([counts.read, counts.deduplicated], [5, 1]);
  });

  test('a record may become many rows, or none', async () => {
    const pipeline = definePipeline({
      id: 'many',
      source: upload(ndjson()),
      input: z.strictObject({ ids: z.array(z.string()) }),
      output: z.strictObject({ id: z.string(), at: z.date() }),
      parameters: z.strictObject({ at: z.coerce.date().default(new Date(0)) }),
      transform: ({ ids }, { parameters, skip }) =>
        ids.includes('skip') ? skip('Asked') : ids.map((id) => ({ id, at: parameters.at })),
      sink: postgres({ table: 'many', key: ['id'] }),
    });
    const { stored, filtered, counts } = await testPipeline(
      pipeline,
      [{ ids: ['a', 'b'] }, { ids: [] }, { ids: ['skip'] }, { ids: ['b'] }],
      { parameters: { at: '2025-01-01' } },
    );
    const at = new Date('2025-01-01');
    assert.deepEqual(stored, [
      { id: 'a', at },
      { id: 'b', at },
    ]);
    assert.deepEqual(filtered, [
      { position: 1, code: 'NoRows' },
      { position: 2, code: 'Asked' },
    ]);
    assert.deepEqual(
      [counts.passed, counts.filtered, counts.emitted, counts.stored, counts.deduplicated],
      [2, 2, 3, 2, 1],
    );
  });

  test('dates and bigints reach the transform as such', async () => {
    const pipeline = definePipeline({
      id: 'typed',
      source: inline(),
      input: z.strictObject({ at: z.coerce.date(), big: z.coerce.bigint() }),
      output: z.strictObject({ year: z.int(), big: z.bigint() }),
      transform: ({ at, big }) => ({ year: at.getUTCFullYear(), big: big + 1n }),
      sink: postgres({ table: 'typed', key: ['year'] }),
    });
    const { stored } = await testPipeline(pipeline, [{ at: '2025-05-05', big: '9007199254740993' }]);
    assert.deepEqual(stored, [{ year: 2025, big: 9007199254740994n }]);
  });

  test('a record that is too large is refused unread', async () => {
    const pipeline = definePipeline({
      id: 'small',
      source: upload(ndjson()),
      input,
      sink: postgres({ table: 'small', key: ['id'] }),
      limits: { recordBytes: 64 },
    });
    const { rejected, counts } = await testPipeline(pipeline, [{ id: 'a'.repeat(100) }, { id: 'b' }]);
    assert.deepEqual(
      rejected.map((r) => r.code),
      ['RecordTooLarge'],
    );
    assert.equal(counts.stored, 1);
  });

  test('no records are no rows', async () => {
    const { stored, counts } = await testPipeline(plain, []);
    assert.deepEqual([stored, counts.read], [[], 0]);
  });

  test('parameters that do not fit and a transform that throws end it as they would end a run', async () => {
    await assert.rejects(testPipeline(plain, [{ id: 'a' }], { parameters: { extra: 1 } }), {
      code: 'ParametersInvalid',
    });
    const throwing = definePipeline({
      id: 'throwing',
      source: inline(),
      input,
      output: input,
      transform: () => {
        throw new Error('mine');
      },
      sink: postgres({ table: 'throwing', key: ['id'] }),
    });
    await assert.rejects(testPipeline(throwing, [{ id: 'a' }]), { code: 'TransformFailed' });
  });

  test('takes text and bytes in the format of the source, and names what it takes', async () => {
    const lines = '{"id":"a"}\n{"id":"b"}\n';
    for (const input of [lines, Buffer.from(lines), { bytes: lines }])
      assert.equal((await testPipeline(plain, input)).counts.read, 2);
    for (const input of [undefined, 7, { records: [] }])
      await assert.rejects(
        testPipeline(plain, input as never),
        /takes an array of records, or text or bytes/,
      );
  });
});
