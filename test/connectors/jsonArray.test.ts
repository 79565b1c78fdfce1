import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { json } from '../../connectors/formats/json/index.ts';
import { ndjson } from '../../connectors/formats/ndjson/index.ts';
import { connectors } from '../../connectors/index.ts';
import { defaultLimits, type FormatManifest, type Limits } from '../../domain/pipelines/manifest.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { createReceiver } from '../../engine/records/receiver.ts';

const scope = { tenant: 'acme', runId: 'arrays-1' };

/** The items as they are read from chunks that end at `cuts`; with `resumeAt` again from the batch of that number on. */
async function readArray(
  bytes: Buffer,
  {
    cuts = [],
    limits = {},
    manifest = json() as FormatManifest,
    resumeAt,
  }: {
    cuts?: readonly number[];
    limits?: Partial<Limits>;
    manifest?: FormatManifest;
    resumeAt?: number;
  } = {},
) {
  const objects = createMemoryObjects();
  async function* chunks(from: number) {
    const ends = [...new Set([...cuts.filter((cut) => cut > from && cut < bytes.length), bytes.length])].sort(
      (a, b) => a - b,
    );
    let start = from;
    for (const end of ends) {
      yield bytes.subarray(start, end);
      start = end;
    }
  }
  const receiver = createReceiver(objects);
  const all = { ...defaultLimits, ...limits };
  const batches: Batch[] = [];
  for await (const batch of receiver.receive(scope, { format: manifest, limits: all }, chunks(0)))
    batches.push(batch);
  if (resumeAt !== undefined && batches.length > 0) {
    const last = batches[resumeAt % batches.length]!;
    const again: Batch[] = [];
    for await (const batch of receiver.receive(
      scope,
      { format: manifest, limits: all, after: last },
      chunks(last.firstByte + last.sizeBytes),
    ))
      again.push(batch);
    assert.deepEqual(again, batches.slice(last.seq + 1));
  }
  const items: { at: unknown; text: string; value?: object; code?: string }[] = [];
  for (const batch of batches) {
    if (batch.refused) {
      items.push({ at: batch.firstLine, text: '', code: batch.refused });
      continue;
    }
    const stored = Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest)));
    let records = 0;
    await connectors.format(manifest).read(batch, stored, (start, end, at, record) => {
      records++;
      const text = stored.toString('utf8', start, end);
      assert.equal(bytes.toString('utf8', batch.firstByte + start, batch.firstByte + end), text);
      items.push({ at, text, ...(typeof record === 'string' ? { code: record } : record) } as never);
    });
    assert.equal(records, batch.records);
  }
  return items;
}

const space = fc.constantFrom('', '', ' ', '\n', '\r\n\t  ');
const object = fc.dictionary(
  fc
    .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('a', ',', ']', '}', '"', 'é'))
    .filter((k) => k !== '__proto__' && !k.includes('\\') && k.isWellFormed() && !k.includes('\0')),
  fc.jsonValue({ stringUnit: 'grapheme' }).filter((v) => !JSON.stringify(v).includes('__proto__')),
  { maxKeys: 4 },
);

describe('one JSON array', () => {
  it('counts no white space around the array, wherever a chunk ends', async () => {
    const bytes = Buffer.from(`\r\n\t [{"id":"${'x'.repeat(30)}"}]\n`);
    const whole = await readArray(bytes, { limits: { recordBytes: 42 } });
    assert.equal(whole.at(0)?.code, undefined);
    assert.deepEqual(await readArray(bytes, { cuts: [4], limits: { recordBytes: 42 } }), whole);
  });

  it('is read as JSON.parse reads it, whatever the chunks, the batches and where reading goes on', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(object, space, space, fc.boolean()), { maxLength: 12 }),
        space,
        fc.array(fc.nat(2_000), { maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.nat(20),
        async (written, around, cuts, batchRecords, resumeAt) => {
          const text = `${around}[${around}${written.map(([value, a, b, pretty]) => a + JSON.stringify(value, null, pretty ? 1 : 0) + b).join(',')}${around}]${around}`;
          const bytes = Buffer.from(text);
          const items = await readArray(bytes, {
            cuts,
            limits: { batchRecords, batchBytes: 1024 },
            resumeAt,
          });
          const expected: object[] = JSON.parse(text);
          assert.deepEqual(
            items.map(({ value }) => JSON.stringify(value)),
            expected.map((value) => JSON.stringify(value)),
          );
          assert.deepEqual(
            items.map(({ at }) => at),
            expected.map((_, i) => i),
          );
        },
      ),
      { numRuns: 400 },
    );
  });

  it('may be empty, and may begin with a byte-order mark', async () => {
    for (const text of ['[]', ' [ ] \n', '\uFEFF[]', `${' '.repeat(5_000)}[]${'\n'.repeat(5_000)}`])
      for (const cuts of [[], [1], [1, 2, 3, 4, 5]])
        assert.deepEqual(await readArray(Buffer.from(text), { cuts }), [], text);
    assert.deepEqual(
      (await readArray(Buffer.from('\uFEFF[{"a":1}]'))).map(({ value }) => value),
      [{ a: 1 }],
    );
  });

  it('rejects an item that is no object, and reads the others', async () => {
    const text = '[1, [2], null, "a,]", {"a":1}, {"a" 1}, , {"a":1,"a":2}, {"a":1e999}, {"b":"\\"]"}, tru]';
    for (const cuts of [[], Array.from({ length: text.length }, (_, i) => i)]) {
      const items = await readArray(Buffer.from(text), { cuts, limits: { batchRecords: 3 } });
      const said = items.map(({ code, text }) => code ?? text);
      const objects = ['{"a":1}', '{"a":1e999}', '{"b":"\\"]"}'];
      assert.deepEqual(said.slice(0, 4), ['NotAnObject', 'NotAnObject', 'NotAnObject', 'NotAnObject']);
      assert.deepEqual(said.slice(5, 7), ['MalformedJson', 'MalformedJson']);
      assert.equal(items[7]!.code, 'DuplicateKey');
      assert.equal(said[10], 'MalformedJson');
      assert.deepEqual([said[4], said[8], said[9]], objects);
    }
    assert.deepEqual(
      (await readArray(Buffer.from('[{"a":1},]'))).map(({ code }) => code),
      [undefined, 'MalformedJson'],
    );
  });

  it('rejects an item beyond recordBytes at its place', async () => {
    const big = `{"a":"${'x'.repeat(500)},[]"}`;
    for (const text of [`[{"a":1},${big},{"b":2}]`, `[${big},{"b":2}]`, `[{"a":1},${big}]`])
      for (const cuts of [[], Array.from({ length: 60 }, (_, i) => i * 10)]) {
        const items = await readArray(Buffer.from(text), { cuts, limits: { recordBytes: 100 } });
        assert.deepEqual(
          items.map(({ at }) => at),
          items.map((_, i) => i),
        );
        assert.deepEqual(
          items.map(({ code, text: item }) => code ?? item),
          text.slice(1, -1).replace(big, 'RecordTooLarge').split(','),
        );
      }
  });

  it('ends the run where it was cut off, is no array or goes on after its end', async () => {
    const whole = '[{"a":1},{"b":"x"}]';
    for (let length = 1; length < whole.length; length++)
      await assert.rejects(readArray(Buffer.from(whole.slice(0, length)), { cuts: [3] }), {
        code: 'FormatMismatch',
      });
    for (const text of [
      `${whole} {}`,
      `${whole}]`,
      `${whole}${whole}`,
      '{"a":1}',
      '{"a":1}\n{"a":2}',
      'null',
      '"a"',
      '<html>',
      'a,b\n1,2\n',
    ])
      for (const cuts of [[], [whole.length]])
        await assert.rejects(readArray(Buffer.from(text), { cuts }), { code: 'FormatMismatch' }, text);
  });

  it('is not taken for NDJSON', async () => {
    for (const text of ['[{"a":1}]', ' \n[\n{"a":1},\n{"a":2}\n]\n'])
      await assert.rejects(readArray(Buffer.from(text), { manifest: ndjson() }), { code: 'FormatMismatch' });
  });
});
