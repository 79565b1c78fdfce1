import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { readCopyText } from '../../connectors/sinks/postgres/copyText.ts';
import { prepareDefinition } from '../../engine/records/definition.ts';
import { processBatch } from '../../engine/records/processBatch.ts';
import { definePipeline, file, ndjson, postgres, rowDigest, upload } from '../../sdk/index.ts';

type Records = Record<string, unknown>[];

const Input = z.strictObject({ id: z.int(), act: z.string().optional(), n: z.int().optional() });
const Output = z.strictObject({ id: z.string(), n: z.int32().nullable() });

// biome-ignore lint/suspicious/noExplicitAny: any definition, for tests of the engine and not of the types
function prepare(parts: any) {
  return prepareDefinition(definePipeline({ id: 'things', source: upload(ndjson()), ...parts }) as never);
}

const acting = prepare({
  input: Input,
  output: Output,
  parameters: z.strictObject({ prefix: z.string().default('p') }),
  sink: postgres({ table: 'things', key: ['id'] }),
  // biome-ignore lint/suspicious/noExplicitAny: returns what each record asks for
  transform: ({ id, act, n }: any, { skip, reject, parameters }: any): any => {
    if (act === 'skip') return skip('Unwanted');
    if (act === 'reject') return reject('TooOld', { path: 'id', message: 'x'.repeat(1000) });
    if (act === 'two')
      return [
        { id: `${id}a`, n: 1 },
        { id: `${id}b`, n: 2 },
      ];
    if (act === 'none') return [];
    if (act === 'null') return null;
    if (act === 'throw') throw new Error('broken');
    if (act === 'wrong') return { id: 1, n: 1 };
    if (act === 'nul') return { id: 'a\0b', n: 1 };
    if (act === 'half') return { id: '\ud800', n: 1 };
    if (act === 'long') return { id: 'x'.repeat(2700), n: 1 };
    return { id: `${parameters.prefix}${id}`, n: n ?? null };
  },
});

async function run(
  definition: ReturnType<typeof prepare>,
  records: Records,
  parameters: unknown = {},
  source?: string,
) {
  const bytes = Buffer.from(records.map((r) => `${JSON.stringify(r)}\n`).join(''));
  const place = { seq: 0, digest: '', sizeBytes: bytes.length, firstByte: 0, firstRecord: 0, firstLine: 1 };
  const batch = { ...place, records: records.length };
  const { validated, transformed, failure } = await processBatch(definition, batch, bytes, {
    transform: { parameters, source },
  });
  assert.deepEqual(validated.rejections, []);
  if (failure) throw failure;
  return transformed!;
}

/** The texts of the columns, without the position that comes last. */
const rowsOf = ({ rows }: { rows: Uint8Array }) => readCopyText(rows).map((texts) => texts.slice(0, -1));

describe('transform', () => {
  it('counts what became of each record, and keeps the place of each row', async () => {
    const result = await run(acting, [
      { id: 0 },
      { id: 1, act: 'skip' },
      { id: 2, act: 'reject' },
      { id: 3, act: 'two' },
      { id: 4, act: 'none' },
    ]);
    assert.deepEqual(result.counts, { passed: 2, filtered: 2, rejected: 1, emitted: 3 });
    assert.deepEqual(rowsOf(result), [
      ['p0', null],
      ['3a', '1'],
      ['3b', '2'],
    ]);
    assert.deepEqual(
      result.rejections.map(({ position, line, code, path, message }) => [
        position,
        line,
        code,
        path,
        message.length,
      ]),
      [[2, 3, 'TooOld', 'id', 500]],
    );
  });

  it('refuses rows that do not fit the output, or that PostgreSQL could not keep', async () => {
    const codes = await Promise.all(
      ['null', 'wrong', 'nul', 'half', 'long'].map(
        async (act) => (await run(acting, [{ id: 1, act }])).rejections[0],
      ),
    );
    assert.deepEqual(
      codes.map((r) => [r?.code, r?.path]),
      [
        ['OutputMismatch', ''],
        ['OutputMismatch', 'id'],
        ['NulByte', 'id'],
        ['InvalidUtf8', 'id'],
        ['KeyTooLarge', 'id'],
      ],
    );
  });

  it('fails the run where the code of the pipeline throws, naming the position', async () => {
    await assert.rejects(run(acting, [{ id: 1 }, { id: 2, act: 'throw' }]), {
      code: 'TransformFailed',
      publicDetail: 'The transform threw Error: broken (position 1, line 2).',
    });
  });

  it('gives the transform its parameters, parsed', async () => {
    assert.deepEqual(rowsOf(await run(acting, [{ id: 1 }], { prefix: 'q' })), [['q1', null]]);
    await assert.rejects(run(acting, [{ id: 1 }], { prefix: 1 }), { code: 'ParametersInvalid' });
  });

  it('names what each row was read of, where the pipeline asks for it; equal rows of two files are equal', async () => {
    const named = (key: unknown) =>
      prepareDefinition(
        definePipeline({
          id: 'things',
          source: file(ndjson(), { path: 'a.ndjson' }),
          input: z.strictObject({ id: z.int() }),
          sink: postgres({ table: 'things', key: key as ['id'] }),
          rowSource: true,
        }),
      );
    assert.deepEqual(rowsOf(await run(named(['id']), [{ id: 1 }], {}, 's3://lake/a')), [
      ['1', 's3://lake/a'],
    ]);
    const [[, , one]] = rowsOf(await run(named(rowDigest()), [{ id: 1 }], {}, 'a')) as [string[]];
    const [[, , other]] = rowsOf(await run(named(rowDigest()), [{ id: 1 }], {}, 'b')) as [string[]];
    assert.equal(one, other);
    assert.throws(
      () => prepare({ input: Input, sink: postgres({ table: 'things', key: ['id'] }), rowSource: true }),
      /rowSource: names nothing with a source upload/,
    );
  });

  it('is the identity where there is none', async () => {
    const plain = prepare({ input: Input, sink: postgres({ table: 'things', key: ['id'] }) });
    assert.deepEqual(rowsOf(await run(plain, [{ id: 1, act: 'x' }])), [['1', 'x', null]]);
  });

  it('hands on what a schema made of a field, whatever JSON could say of it', async () => {
    const seen: unknown[] = [];
    const input = z.strictObject({
      at: z.coerce.date(),
      big: z.coerce.bigint(),
      size: z.string().transform((s) => (s === '' ? Number.NaN : s.length)),

      mark: z.unknown(),
    });
    const definition = prepare({
      input,
      output: z.strictObject({ at: z.date(), big: z.bigint() }),
      sink: postgres({ table: 'things', key: ['big'] }),
      transform: (record: z.output<typeof input>) => {
        seen.push(record);
        return { at: record.at, big: record.big };
      },
    });
    const big = '123456789012345678901234567890';
    const mark = { $: 'date', v: [{ $: 1 }] };
    const result = await run(definition, [{ at: '2026-01-02T03:04:05+01:00', big, size: '', mark }]);
    const at = new Date('2026-01-02T02:04:05.000Z');
    assert.deepEqual(seen, [{ at, big: BigInt(big), size: Number.NaN, mark }]);
    assert.deepEqual(rowsOf(result), [['2026-01-02T02:04:05.000Z', big]]);
  });
});

describe('encoding', () => {
  it('keeps the last row of a key', async () => {
    const result = await run(acting, [
      { id: 1, n: 1 },
      { id: 2, n: 2 },
      { id: 1, n: 3 },
    ]);
    assert.equal(result.counts.emitted, 3);
    assert.deepEqual(readCopyText(result.rows), [
      ['p2', '2', '1'],
      ['p1', '3', '2'],
    ]);
  });

  it('digests rows by name and value, whatever the order of columns or of keys inside', async () => {
    const digestsOf = async (columns: z.ZodObject, records: Records) => {
      const definition = prepare({
        input: columns,
        sink: postgres({ table: 'things', key: 'row-digest' as never }),
      });
      const { rows, counts } = await run(definition, records);
      const digests = readCopyText(rows).map((texts) => texts.at(-2));
      return { digests, count: digests.length, deduplicated: counts.emitted! - digests.length };
    };
    const one = await digestsOf(z.strictObject({ a: z.int(), b: z.record(z.string(), z.int()) }), [
      { a: 1, b: { x: 1, y: 2 } },
    ]);
    const two = await digestsOf(
      z.strictObject({ b: z.record(z.string(), z.int()), c: z.string().optional(), a: z.int() }),
      [
        { a: 1, b: { y: 2, x: 1 } },
        { b: { x: 1, y: 2 }, a: 1 },
      ],
    );
    assert.deepEqual(one.digests, two.digests);
    assert.deepEqual([two.count, two.deduplicated], [1, 1]);
    const other = await digestsOf(z.strictObject({ a: z.int(), b: z.record(z.string(), z.int()) }), [
      { a: 1, b: { x: 1, y: 3 } },
    ]);
    assert.notDeepEqual(one.digests, other.digests);
  });
});
