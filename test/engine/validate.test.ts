import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import type { Definition } from '../../domain/pipelines/pipeline.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Rejection, RejectionCode } from '../../domain/runs/rejection.ts';
import type { PreparedDefinition } from '../../engine/records/definition.ts';
import { prepareDefinition } from '../../engine/records/definition.ts';
import { processBatch } from '../../engine/records/processBatch.ts';
import { csv, definePipeline, ndjson, postgres, skip, upload } from '../../sdk/index.ts';

const Item = z.strictObject({ id: z.int(), name: z.string().max(10).nullable().optional() });
const ok = '{"id":1}';

function prepare(
  input: z.ZodObject,
  source: Definition<never, never, never, never, never>['source'] = upload(ndjson()) as never,
) {
  const output = z.strictObject({ id: z.int() });
  const definition = {
    id: 'items',
    source,
    input,
    output,
    transform: () => ({ id: 1 }),
    sink: postgres({ table: 'items', key: ['id'] }),
  };
  return prepareDefinition(definePipeline(definition as never) as never);
}

function batchOf(bytes: Buffer, records: number, header?: string[]): Batch {
  return {
    ...{
      seq: 1,
      digest: '',
      sizeBytes: bytes.length,
      firstByte: 1000,
      firstRecord: 100,
      firstLine: 50,
      records,
    },
    ...(header && { header }),
  };
}

/** Validates each line between two good ones, which must pass whatever stands between them. */
async function rejectionOf(line: string | Buffer, input: z.ZodObject = Item): Promise<Rejection | undefined> {
  const bytes = Buffer.concat([
    Buffer.from(`${ok}\n`),
    Buffer.from(line as string),
    Buffer.from(`\n${ok}\n`),
  ]);
  const { rejections, counts, valid } = await validateBatch(prepare(input), batchOf(bytes, 3), bytes);
  assert.equal(counts.read, 3);
  assert.equal(counts.rejected, rejections.length);
  assert.equal(valid.length, 3 - rejections.length);
  return rejections[0];
}

/** Validates, and gives each valid record as `[position, value]`, as the transform would get it. */
async function validateBatch(definition: PreparedDefinition, batch: Batch, bytes: Buffer) {
  const values: unknown[] = [];
  const positions: number[] = [];
  const transform = (value: unknown) => {
    values.push(value);
    return skip('Seen');
  };
  const pipeline = { ...definition.pipeline, transform } as PreparedDefinition['pipeline'];
  const observer = { onRows: () => {}, onFiltered: (position: number) => positions.push(position) };
  const watched = { ...definition, pipeline };
  const { validated } = await processBatch(watched, batch, bytes, {
    transform: { parameters: {} },
    observer,
  });
  assert.deepEqual(await processBatch(definition, batch, bytes), { validated });
  return { ...validated, valid: positions.map((position, i) => [position, values[i]]) };
}

describe('validation of NDJSON', () => {
  const nested = (depth: number) => `{"id":1,"x":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;
  const anything = z.strictObject({ id: z.int(), x: z.unknown().optional() });

  const cases: [RejectionCode, string | Buffer, z.ZodObject?][] = [
    ['MalformedJson', '{"id":1'],
    ['MalformedJson', '{"id":01}'],
    ['MalformedJson', ' '],
    ['MalformedJson', '\uFEFF{"id":1}'],
    ['NotAnObject', '[1]'],
    ['NotAnObject', 'null'],
    ['NotAnObject', '"id"'],
    ['TooDeep', nested(65), anything],
    ['TooDeep', nested(100_000), anything],
    ['TooDeep', '['.repeat(100_000)],
    ['UnsafeKey', '{"id":1,"__proto__":{"admin":true}}'],
    ['UnsafeKey', '{"id":1,"x":[{"\\u005f_proto__":1}]}', anything],
    ['UnsafeKey', '{"id":1,"x":{"constructor":{"prototype":{}}}}', anything],
    ['InvalidUtf8', Buffer.from([...Buffer.from('{"id":1,"name":"'), 0xc3, 0x28, ...Buffer.from('"}')])],
    ['InvalidUtf8', '{"id":1,"name":"\\ud800"}'],
    ['NulByte', '{"id":1,"name":"a\0"}'],
    ['NulByte', '{"id":1,"name":"a\\u0000"}'],
    ['NulByte', '{"id":1,"x":{"\\u0000":1}}', anything],
    ['UnknownField', '{"id":1,"extra":2}'],
    ['SchemaMismatch', '{"id":"1"}'],
    ['SchemaMismatch', '{}'],
  ];
  for (const [code, line, input] of cases) {
    it(`refuses ${code}: ${line.toString().slice(0, 40)}`, async () => {
      const rejection = await rejectionOf(line, input);
      const byteLength = Buffer.byteLength(line);
      assert.deepEqual(
        [rejection?.code, rejection?.position, rejection?.line, rejection?.byteOffset, rejection?.byteLength],
        [code, 101, 51, 1009, byteLength],
      );
    });
  }

  it('lets through what only looks like it', async () => {
    const fine = [
      nested(64),
      `{"id":1,"x":"${'[{'.repeat(100)}"}`,
      `{"id":1,"x":[${'{},'.repeat(100)}{}]}`,
      '{"id":1,"x":"\\\\u0000 __proto__"}',
      '{"id":1,"x":{"constructor":"Bauer AG"}}',
      '{"id":1,"x":"\\ud83d\\udce6 \u{1F4E6} \u00e9"}',
      ' {"id":1, "x": 1}\r',
    ];
    for (const line of fine) assert.equal(await rejectionOf(line, anything), undefined, line);
  });

  it('shows path and message of the schema, and no value', async () => {
    const input = z.strictObject({
      id: z.int(),
      who: z.strictObject({ mail: z.email() }).optional(),
      tags: z.array(z.enum(['red', 'blue'])).optional(),
      secret: z
        .string()
        .refine((s) => s.startsWith('x'), { error: (i) => `not ${i.input}` })
        .optional(),
      kind: z.union([z.strictObject({ a: z.int(), b: z.int() }), z.int()]).optional(),
    });
    const shown = async (line: string) => {
      const { code, path, message } = (await rejectionOf(line, input))!;
      return [code, path, message];
    };
    assert.deepEqual(await shown('{"id":1,"who":{"mail":"hunter2"}}'), [
      'SchemaMismatch',
      'who.mail',
      'Invalid email address',
    ]);
    assert.deepEqual(await shown('{"id":1,"tags":["red","green"]}'), [
      'SchemaMismatch',
      'tags.1',
      'Invalid option: expected one of "red"|"blue"',
    ]);
    assert.deepEqual((await shown('{"id":1,"who":{"mail":"a@b.de","x":1}}')).slice(0, 2), [
      'UnknownField',
      'who.x',
    ]);
    assert.deepEqual(await shown('{"id":1,"secret":"hunter2"}'), [
      'SchemaMismatch',
      'secret',
      'The record does not fit the input schema.',
    ]);
    assert.equal((await shown('{"id":1,"kind":{"a":1,"b":"x"}}'))[0], 'SchemaMismatch');
  });

  it('says that a required field is missing, of whatever type it is', async () => {
    const types = [z.string(), z.enum(['a', 'b']), z.literal('a'), z.int(), z.strictObject({ a: z.int() })];
    for (const type of [...types, z.union([z.string(), z.int()]), z.array(z.int()), z.iso.date()]) {
      const bytes = Buffer.from('{}');
      const { rejections } = await validateBatch(
        prepare(z.strictObject({ x: type })),
        batchOf(bytes, 1),
        bytes,
      );
      const { code, path, message } = rejections[0]!;
      assert.deepEqual([code, path, message], ['SchemaMismatch', 'x', 'The field is missing.']);
    }
  });

  it('passes on what the schema made of a record', async () => {
    const bytes = Buffer.from('{"id": 1}\n\n{"name":"\u00e9","id":2}');
    const kept = await validateBatch(prepare(Item), batchOf(bytes, 2), bytes);
    assert.deepEqual(kept.valid, [
      [100, { id: 1 }],
      [101, { name: '\u00e9', id: 2 }],
    ]);
    const changing = z.strictObject({ id: z.int(), name: z.string().trim().toUpperCase().default('NONE') });
    const made = await validateBatch(prepare(changing), batchOf(bytes, 2), bytes);
    assert.deepEqual(made.valid, [
      [100, { id: 1, name: 'NONE' }],
      [101, { id: 2, name: '\u00c9' }],
    ]);
  });

  it('refuses bytes that hold another number of records than the batch says', async () => {
    const bytes = Buffer.from(`${ok}\n${ok}\n`);
    await assert.rejects(validateBatch(prepare(Item), batchOf(bytes, 3), bytes), { code: 'BatchCorrupt' });
  });

  it('fails where a check of the pipeline throws', async () => {
    const throwing = z.strictObject({ id: z.int().refine(() => JSON.parse('{')) });
    const bytes = Buffer.from(`${ok}\n`);
    await assert.rejects(validateBatch(prepare(throwing), batchOf(bytes, 1), bytes), {
      code: 'TransformFailed',
    });
  });
});

describe('validation of CSV', () => {
  const Person = z.strictObject({ name: z.string(), 'Age $': z.coerce.number().int().nullable() });
  const header = ['name', 'Age $'];

  function validate(text: string | Buffer, records: number, emptyAs: 'string' | 'null' = 'null') {
    const bytes = Buffer.from(text as string);
    return validateBatch(
      prepare(Person, upload(csv({ emptyAs })) as never),
      batchOf(bytes, records, header),
      bytes,
    );
  }

  it('reads fields by the header, empty ones as the format says', async () => {
    const result = await validate('ada,36\r\n\n"Grace ""G""\nHopper",\n', 2);
    assert.deepEqual(result.valid, [
      [100, { name: 'ada', 'Age $': 36 }],
      [101, { name: 'Grace "G"\nHopper', 'Age $': null }],
    ]);
    // `z.coerce.number()` would make 0 of it.
    assert.equal((await validate('ada,\n', 1, 'string')).rejections[0]?.code, 'SchemaMismatch');
  });

  it('fails at once where the header lacks required columns or has others, and names them', async () => {
    const of = (header: string[]) => {
      const bytes = Buffer.from('1;2\n');
      return validateBatch(prepare(Person, upload(csv()) as never), batchOf(bytes, 1, header), bytes);
    };
    await assert.rejects(of(['a;b']), {
      code: 'HeaderInvalid',
      publicDetail: 'The columns are not the fields of the input. Missing: "name", "Age $". Unknown: "a;b".',
    });
    await assert.rejects(of(['name']), {
      code: 'HeaderInvalid',
      publicDetail: 'The columns are not the fields of the input. Missing: "Age $".',
    });
  });

  const cases: [RejectionCode, string | Buffer][] = [
    ['WrongColumnCount', 'ada'],
    ['WrongColumnCount', 'ada,1,2'],
    ['MalformedCsv', 'a"da,1'],
    ['MalformedCsv', '"ada"x,1'],
    ['MalformedCsv', 'a\rda,1'],
    ['MalformedCsv', 'ada,1\r\r'],
    ['MalformedCsv', 'ada,1\r"2"'],
    ['NulByte', 'a\0da,1'],
    ['InvalidUtf8', Buffer.from([0x61, 0xff, 0x2c, 0x31])],
    ['SchemaMismatch', 'ada,x'],
  ];
  for (const [code, line] of cases) {
    it(`refuses ${code} without touching its neighbours: ${line.toString()}`, async () => {
      const bytes = Buffer.concat([
        Buffer.from('a,1\n'),
        Buffer.from(line as string),
        Buffer.from('\nb,2\n'),
      ]);
      const result = await validate(bytes, 3);
      assert.deepEqual(
        result.rejections.map((r) => [r.code, r.position, r.line, r.byteOffset]),
        [[code, 101, 51, 1004]],
      );
      assert.equal(result.valid.length, 2);
    });
  }
});
