import assert from 'node:assert/strict';
import { createHash, hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { readFields } from '../../connectors/formats/csv/csvFields.ts';
import { defaultLimits, type FormatManifest, type Limits } from '../../domain/pipelines/manifest.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { chop } from './formatProperties.ts';

const scope = { tenant: 'acme', runId: 'orders-1' };
const ndjson: FormatManifest = { name: 'ndjson' };
const csv: FormatManifest = { name: 'csv', delimiter: ',', emptyAs: 'string' };

interface Received extends Batch {
  bytes: Buffer;
}

async function receive(
  format: FormatManifest,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  limits: Partial<Limits> = {},
  resume?: { after: Batch; store: ObjectStore },
): Promise<{ batches: Received[]; store: ObjectStore }> {
  const store = resume?.store ?? memoryObjects();
  const all = { ...defaultLimits, ...limits };
  const batches: Received[] = [];
  for await (const batch of createReceiver(store).receive(
    scope,
    { format, limits: all, after: resume?.after },
    stream(chunks),
  )) {
    batches.push({ ...batch, bytes: Buffer.from(batch.bytes ?? (await store.get(scope, batch.digest))) });
  }
  return { batches, store };
}

async function* stream(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) {
  yield* chunks;
}

/** What a run reads of a growing file that holds `bytes` from `place` on. */
async function grow(
  format: FormatManifest,
  bytes: Buffer,
  place: { firstByte: number; firstLine: number; header?: readonly string[] | undefined },
  limits: Partial<Limits> = {},
): Promise<Received[]> {
  return (await growing(format, [bytes], place, limits)).batches;
}

async function growing(
  format: FormatManifest,
  chunks: Iterable<Uint8Array>,
  place: { firstByte: number; firstLine: number; header?: readonly string[] | undefined },
  limits: Partial<Limits> = {},
): Promise<{ batches: Received[]; leftBytes: number }> {
  const store = memoryObjects();
  const batches: Received[] = [];
  const all = { ...defaultLimits, ...limits };
  const reception = createReceiver(store).receive(
    scope,
    { format, limits: all, growing: place },
    stream(chunks),
  );
  for await (const batch of reception)
    batches.push({ ...batch, bytes: Buffer.from(batch.bytes ?? (await store.get(scope, batch.digest))) });
  return { batches, leftBytes: reception.leftBytes };
}

const texts = (batches: Received[]) => batches.map((b) => b.bytes.toString());

describe('receiver', () => {
  it('says at once that the data is plainly of another format', async () => {
    const pages = ['<!DOCTYPE html><p>Sign in</p>', '\n<html lang="en">', '\ufeff<HTML>\n'];
    const cases: [string, Buffer][] = [
      ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x24])],
      ['Parquet', Buffer.from('PAR1\x15\x04\x15')],
      ['XML', Buffer.from('<?xml version="1.0"?>\n<a/>')],
      ['UTF-16LE', Buffer.from('\ufeff{"a":1}\n', 'utf16le')],
      ['UTF-16BE', Buffer.from('\ufeffa,b\n', 'utf16le').swap16()],
      ['UTF-16LE', Buffer.from('a,b,c,d\n', 'utf16le')],
      ...pages.map((page): [string, Buffer] => ['HTML', Buffer.from(page)]),
      ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0x0a])],
      ['ZIP', Buffer.from('PK\x03\x04\n')],
    ];
    for (const format of [ndjson, csv])
      for (const [other, bytes] of cases)
        await assert.rejects(receive(format, [bytes]), {
          code: 'FormatMismatch',
          publicDetail: new RegExp(`^The data is ${other}\\b`),
        });
  });

  it('says at once that NDJSON is an array instead, and takes no text for what it only resembles', async () => {
    for (const text of ['[{"a":1}]', ' \n[\n', '\ufeff['])
      await assert.rejects(
        receive(
          ndjson,
          [...Buffer.from(text)].map((b) => Buffer.from([b])),
        ),
        {
          code: 'FormatMismatch',
          publicDetail: /JSON array/,
        },
      );
    for (const text of ['PAR1,PAR2\n1,2\n', 'PAR1\n1\n', '<a>,b\n1,2\n', 'BZh,b\n1,2\n', 'PK,b\n1,2\n'])
      assert.equal((await receive(csv, [Buffer.from(text)])).batches.length, 1, text);
  });

  it('takes no carriage return outside quotes for a part of a column name', async () => {
    for (const text of ['a\r1\r2', 'a\r\r\n1\r\n', 'a,b\rc\n1,2\n'])
      await assert.rejects(receive(csv, [Buffer.from(text)]), { code: 'HeaderInvalid' });
    const { batches } = await receive(csv, [Buffer.from('"a\rb"\r\n1\r\n')]);
    assert.deepEqual(batches[0]!.header, ['a\rb']);
  });

  it('leaves what is not complete of a growing file for the next time, and reads on there', async () => {
    const text = '\ufeffid,name\r\n1,"a\nb"\r\n2,c\r\n3,"d"\r\n4,last\r\n';
    const bytes = Buffer.from(text);
    const all = (await receive(csv, [bytes])).batches.map((b) => b.bytes.toString()).join('');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const first = await grow(csv, bytes.subarray(0, cut), { firstByte: 0, firstLine: 1 });
      const last = first.at(-1);
      const end = last ? last.firstByte + last.sizeBytes : 0;
      const lines = bytes.subarray(0, end).toString().split('\n').length;
      const place = { firstByte: end, firstLine: lines, header: last?.header };
      const second = await grow(csv, bytes.subarray(end), place);
      assert.equal(texts([...first, ...second]).join(''), all, `cut at ${cut}`);
      for (const { bytes: of, firstByte, firstLine, header } of [...first, ...second]) {
        assert.deepEqual(header, ['id', 'name']);
        assert.ok(bytes.subarray(firstByte).toString().startsWith(of.toString()));
        assert.equal(firstLine, bytes.subarray(0, firstByte).toString().split('\n').length);
      }
    }
  });

  it('leaves a last line without its newline, however long it is', async () => {
    const place = { firstByte: 0, firstLine: 1 };
    const batches = await grow(ndjson, Buffer.from(`{"a":1}\n{"a":"${'x'.repeat(500)}`), place, {
      recordBytes: 64,
    });
    assert.deepEqual(texts(batches), ['{"a":1}\n']);
  });

  it('says how many bytes of a growing file it left', async () => {
    const place = { firstByte: 0, firstLine: 1 };
    const left = async (format: FormatManifest, text: string, recordBytes: number) => {
      const bytes = Buffer.from(text);
      const whole = await growing(format, [bytes], place, { recordBytes });
      const single = await growing(
        format,
        [...bytes].map((b) => Buffer.from([b])),
        place,
        { recordBytes },
      );
      assert.deepEqual(single, whole, text);
      return [texts(whole.batches), whole.leftBytes];
    };
    const long = 'x'.repeat(500);
    assert.deepEqual(await left(csv, 'a\n1\n"2\n3\n', 64), [['1\n'], 5]);
    assert.deepEqual(await left(csv, 'a\n1\n2', 64), [['1\n'], 1]);
    assert.deepEqual(await left(csv, 'a\n1\n', 64), [['1\n'], 0]);
    assert.deepEqual(await left(ndjson, `{"a":1}\n{"a":"${long}`, 64), [['{"a":1}\n'], 506]);
    assert.deepEqual(await left(csv, `a\n"2\n${long}`, 64), [[], 503]);
  });

  it('rejects an open quote that swallows more of a growing file than a record may hold, and reads on there', async () => {
    const lines = '2\n'.repeat(100);
    for (const recordBytes of [10, 64, 150]) {
      const bytes = Buffer.from(`a\n1\n"2\n${lines}3`);
      const place = { firstByte: 0, firstLine: 1 };
      const whole = await growing(csv, [bytes], place, { recordBytes });
      const single = await growing(
        csv,
        [...bytes].map((b) => Buffer.from([b])),
        place,
        { recordBytes },
      );
      assert.deepEqual(single, whole);
      const { batches, leftBytes } = whole;
      assert.deepEqual(texts(batches), ['1\n', `"2\n${lines}`]);
      assert.deepEqual(
        batches.map(({ refused, firstByte, firstLine }) => [refused, firstByte, firstLine]),
        [
          [undefined, 2, 2],
          ['UnterminatedQuote', 4, 3],
        ],
      );
      assert.equal(leftBytes, 1);
      const next = { firstByte: bytes.length - 1, firstLine: 104, header: ['a'] };
      assert.deepEqual(texts(await grow(csv, Buffer.from('3\n4\n'), next, { recordBytes })), ['3\n4\n']);
    }
  });

  it('says whether the data holds anything, if only a header', async () => {
    const holds = async (format: FormatManifest, text: string) => {
      const reception = createReceiver(memoryObjects()).receive(
        scope,
        { format, limits: defaultLimits },
        stream([Buffer.from(text)]),
      );
      for await (const _ of reception);
      return reception.holdsData;
    };
    for (const text of ['a,b', 'a,b\r\n', '\n\na,b\n\n\n', 'a\n1'])
      assert.equal(await holds(csv, text), true, text);
    for (const text of ['', '\n\r\n\n', '\uFEFF']) {
      assert.equal(await holds(csv, text), false);
      assert.equal(await holds(ndjson, text), false);
    }
    assert.equal(await holds(ndjson, '{}'), true);
  });

  it('ends a batch at the first record boundary at or after either limit', async () => {
    const lines = ['{"a":1}\n', '{"a":2}\n', '{"a":3}\n', '{"a":4}\n', '{"a":5}'];
    const bytes = [Buffer.from(lines.join(''))];
    const byCount = await receive(ndjson, bytes, { batchRecords: 2 });
    assert.deepEqual(texts(byCount.batches), [lines[0]! + lines[1], lines[2]! + lines[3], lines[4]]);
    const byBytes = await receive(ndjson, bytes, { batchBytes: 9 });
    assert.deepEqual(texts(byBytes.batches), [lines[0]! + lines[1], lines[2]! + lines[3], lines[4]]);
    assert.deepEqual(
      byBytes.batches.map(({ seq, firstByte, firstRecord, firstLine, records }) => [
        seq,
        firstByte,
        firstRecord,
        firstLine,
        records,
      ]),
      [
        [0, 0, 0, 1, 2],
        [1, 16, 2, 3, 2],
        [2, 32, 4, 5, 1],
      ],
    );
  });

  it('yields nothing where there is no record', async () => {
    for (const text of ['', '\n\r\n\n', '\uFEFF', '\r']) {
      assert.deepEqual((await receive(ndjson, [Buffer.from(text)])).batches, []);
    }
    for (const text of ['', 'a,b', 'a,b\r\n', '\n\na,b\n\n\n']) {
      assert.deepEqual((await receive(csv, [Buffer.from(text)])).batches, []);
    }
  });

  it('counts a byte-order mark and a header as bytes of the source', async () => {
    const { batches } = await receive(csv, [Buffer.from('\uFEFF"a","b c"\r\n1,2\r\n')]);
    assert.equal(batches.length, 1);
    assert.deepEqual(batches[0]!.header, ['a', 'b c']);
    assert.equal(batches[0]!.firstByte, 14);
    assert.equal(batches[0]!.firstLine, 2);
    assert.equal(batches[0]!.bytes.toString(), '1,2\r\n');
  });

  it('keeps a quoted newline inside its record, and opens quotes only at the start of a field', async () => {
    const text = 'a,b\n"1\n""x"",\n",2\n3" tall,4"\n5,"6\r\n7"\n';
    const { batches } = await receive(csv, [Buffer.from(text)], { batchRecords: 1 });
    assert.deepEqual(texts(batches), ['"1\n""x"",\n",2\n', '3" tall,4"\n', '5,"6\r\n7"\n']);
    assert.deepEqual(
      batches.map((b) => b.firstLine),
      [2, 5, 6],
    );
  });

  it('refuses headers that do not name each column once', async () => {
    const wrong = ['a,,c\n1,2,3', 'a,a\n1,2', 'a, \n', '"a\n1,2', 'a"b"\n', '__proto__,b\n1,2', 'a\0b\n'];
    for (const text of wrong) {
      await assert.rejects(receive(csv, [Buffer.from(text)]), { code: 'HeaderInvalid' }, text);
    }
    await assert.rejects(receive(csv, [Buffer.from([0x61, 0xff, 0x0a])]), { code: 'HeaderInvalid' });
    const large = receive(csv, [Buffer.alloc(2000, 'x')], { recordBytes: 1000 });
    await assert.rejects(large, { code: 'HeaderInvalid' });
  });

  it('makes a batch of its own of a record that is too large', async () => {
    const text = `{"a":1}\n{"a":"${'x'.repeat(200)}"}\n{"a":2}\n`;
    const { batches } = await receive(ndjson, [Buffer.from(text)], { recordBytes: 100 });
    assert.deepEqual(
      batches.map((b) => b.refused),
      [undefined, 'RecordTooLarge', undefined],
    );
    assert.deepEqual(
      batches.map((b) => b.records),
      [1, 1, 1],
    );
    assert.deepEqual(
      batches.map((b) => b.firstLine),
      [1, 2, 3],
    );
    assert.equal(Buffer.concat(batches.map((b) => b.bytes)).toString(), text);
  });

  it('makes a batch of its own of a quote that is never closed', async () => {
    const { batches } = await receive(csv, [Buffer.from('a,b\n1,2\n"3,4\n5,6\n')]);
    assert.deepEqual(texts(batches), ['1,2\n', '"3,4\n5,6\n']);
    assert.equal(batches[1]!.refused, 'UnterminatedQuote');
  });

  it('holds no more than a record of a line of 100 MB', async () => {
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    let peakBytes = 0;
    async function* line() {
      for (let i = 0; i < 100; i++) {
        yield chunk;
        peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers);
      }
      yield Buffer.from('\n{"a":1}\n');
    }
    const store = memoryObjects({ keep: false });
    const sizes: number[] = [];
    for await (const batch of createReceiver(store).receive(
      scope,
      { format: ndjson, limits: defaultLimits },
      line(),
    )) {
      sizes.push(batch.sizeBytes);
    }
    assert.deepEqual(sizes, [100 * chunk.length + 1, 8]);
    assert.ok(peakBytes < 32 * 1024 * 1024, `${peakBytes} bytes`);
  });

  it('gives the bytes of a small batch with it, and stores only a larger one', async () => {
    const lines = (n: number) => Buffer.from('{"a":1}\n'.repeat(n));
    for (const [bytes, isSmall] of [
      [lines(8_192), true],
      [lines(8_193), false],
    ] as const) {
      const store = memoryObjects();
      const input = { format: ndjson, limits: defaultLimits };
      const received = createReceiver(store).receive(scope, input, stream([bytes]));
      const { value } = await received[Symbol.asyncIterator]().next();
      assert.equal(value!.digest, hash('sha256', bytes));
      assert.deepEqual(value!.bytes, isSmall ? bytes : undefined);
      if (!isSmall) assert.deepEqual(Buffer.from(await store.get(scope, value!.digest)), bytes);
    }
  });

  it('deletes what it wrote when the stream breaks or its reader stops', async () => {
    let aborted = 0;
    const store = memoryObjects({ onAbort: () => aborted++ });
    async function* breaking() {
      yield Buffer.from(`${'{"a":1}\n'.repeat(10_000)}{"a":`);
      throw new Error('gone');
    }
    const received = createReceiver(store).receive(
      scope,
      { format: ndjson, limits: defaultLimits },
      breaking(),
    );
    await assert.rejects(received[Symbol.asyncIterator]().next(), { message: 'gone' });
    assert.equal(aborted, 1);
  });

  const jsonLine = fc.oneof(
    { weight: 4, arbitrary: fc.json({ maxDepth: 1 }).filter((s) => !s.includes('\n')) },
    { weight: 1, arbitrary: fc.constantFrom('', '\r', ' ', '"\u00e9\u{1F4E6}"') },
    { weight: 1, arbitrary: fc.nat(60).map((n) => 'x'.repeat(n)) },
  );
  const csvText = fc.array(fc.constantFrom('a', 'b', ',', ',', '"', '"', '\n', '\r\n', '\u00e9', ''), {
    maxLength: 80,
  });
  const input = fc.oneof(
    fc.tuple(
      fc.constant(ndjson),
      fc
        .array(jsonLine, { maxLength: 12 })
        .map((l) => l.join('\n'))
        // Which is said at once.
        .filter((text) => !/^\s*\[/.test(text)),
    ),
    fc.tuple(
      fc.constant(csv),
      csvText.map((parts) => `h1,h2\n${parts.join('')}`),
    ),
  );
  const cuts = fc.array(fc.nat(400), { maxLength: 12 });
  const limits = fc.record({
    batchBytes: fc.integer({ min: 1, max: 60 }),
    batchRecords: fc.integer({ min: 1, max: 5 }),
    recordBytes: fc.integer({ min: 5, max: 40 }),
  });

  it('gives the same batches however the bytes arrive', async () => {
    await fc.assert(
      fc.asyncProperty(input, fc.boolean(), cuts, limits, async ([format, text], mark, at, bounds) => {
        const bytes = Buffer.from((mark ? '\uFEFF' : '') + text);
        const whole = await receive(format, [bytes], bounds);
        assert.deepEqual((await receive(format, chop(bytes, at), bounds)).batches, whole.batches);
        const single = [...bytes].map((b) => Buffer.from([b]));
        assert.deepEqual((await receive(format, single, bounds)).batches, whole.batches);
      }),
      { numRuns: 300 },
    );
  });

  it('leaves out nothing but the mark, the header and empty lines', async () => {
    await fc.assert(
      fc.asyncProperty(input, limits, async ([format, text], bounds) => {
        const bytes = Buffer.from(text);
        const { batches } = await receive(format, [bytes], bounds);
        let at = format === csv ? 6 : 0;
        let records = 0;
        for (const [i, batch] of batches.entries()) {
          assert.match(bytes.toString('latin1', at, batch.firstByte), /^[\r\n]*$/);
          assert.deepEqual(bytes.subarray(batch.firstByte, batch.firstByte + batch.sizeBytes), batch.bytes);
          const newlines = bytes.toString('latin1', 0, batch.firstByte).split('\n').length;
          assert.deepEqual([batch.seq, batch.firstRecord, batch.firstLine], [i, records, newlines]);
          assert.ok(batch.records > 0);
          records += batch.records;
          at = batch.firstByte + batch.sizeBytes;
        }
        assert.match(bytes.toString('latin1', at), /^[\r\n]*$/);
      }),
      { numRuns: 300 },
    );
  });

  it('goes on after any batch as if it had never stopped', async () => {
    await fc.assert(
      fc.asyncProperty(input, limits, fc.nat(10), async ([format, text], bounds, pick) => {
        const bytes = Buffer.from(text);
        const { batches, store } = await receive(format, [bytes], bounds);
        const after = batches[pick % Math.max(1, batches.length)];
        if (!after) return;
        const rest = [bytes.subarray(after.firstByte + after.sizeBytes)];
        const resumed = await receive(format, rest, bounds, { after, store });
        assert.deepEqual(resumed.batches, batches.slice(after.seq + 1));
      }),
      { numRuns: 200 },
    );
  });
});

describe('fields of a CSV record', () => {
  it('are what csv-parse reads, or nothing where it refuses', () => {
    const record = fc
      .array(fc.constantFrom('a', ',', '"', '""', '\n', ' ', '\u00e9'), { maxLength: 12 })
      .map((p) => p.join(''));
    fc.assert(
      fc.property(record, (text) => {
        let expected: string[][] | undefined;
        try {
          expected = parse(text, { record_delimiter: '\u0001', relax_column_count: true });
        } catch {}
        const fields = readFields(text, ',');
        if (text !== '') assert.deepEqual(fields && [fields], expected);
      }),
      { numRuns: 2000 },
    );
  });
});

/** An object store without a disk, for tests that write thousands of batches. */
function memoryObjects(options: { keep?: boolean; onAbort?: () => void } = {}): ObjectStore {
  const kept = new Map<string, Buffer>();
  return {
    async create() {
      const parts: Buffer[] = [];
      const hash = createHash('sha256');
      let sizeBytes = 0;
      return {
        async write(chunk) {
          sizeBytes += chunk.length;
          hash.update(chunk);
          if (options.keep !== false) parts.push(Buffer.from(chunk));
        },
        async finish() {
          const digest = hash.digest('hex');
          kept.set(digest, Buffer.concat(parts));
          return { digest, sizeBytes };
        },
        async abort() {
          options.onAbort?.();
        },
      };
    },
    async put() {
      throw new Error('not needed');
    },
    async get(_, digest) {
      return kept.get(digest)!;
    },
    async getRange(_, digest, offset, length) {
      return kept.get(digest)!.subarray(offset, offset + length);
    },
    async remove() {},
    list: async () => [],
    async removeListed() {},
  };
}
