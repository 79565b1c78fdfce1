import assert from 'node:assert/strict';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { z } from 'zod';
import type { CsvOptions } from '../../connectors/formats/csv/csvManifest.ts';
import type { Limits } from '../../domain/pipelines/manifest.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Rejection } from '../../domain/runs/rejection.ts';
import { addCounts, type Counts, zeroCounts } from '../../domain/runs/run.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { type PreparedDefinition, prepareDefinition } from '../../engine/records/definition.ts';
import { processBatch } from '../../engine/records/processBatch.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { csv, definePipeline, json, ndjson, parquet, postgres, rowDigest, upload } from '../../sdk/index.ts';

/*
 * Whatever the records are, wherever the bytes are cut into chunks and batches, and wherever the receiver is killed and goes on
 * behind the last durable batch: the rows, dead letters and counts are those of an engine that reads everything at once. Which rows
 * those are is said by JSON.parse and csv-parse.
 */

/** How the bytes come, and how often the one who receives them is killed. */
interface Way {
  cuts: readonly number[];
  limits: Pick<Limits, 'batchBytes' | 'batchRecords'>;
  /** So many batches are durable until the next kill. */
  kills: readonly number[];
}

const way: fc.Arbitrary<Way> = fc.record({
  cuts: fc.array(fc.nat(2_000), { maxLength: 12 }),
  limits: fc.record({
    batchBytes: fc.integer({ min: 1, max: 300 }),
    batchRecords: fc.integer({ min: 1, max: 9 }),
  }),
  kills: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
});

interface Read {
  rows: [position: number, row: object][];
  rejections: Rejection[];
  counts: Counts;
}

const scope = { tenant: 'acme', runId: 'run' };

/** What comes of the bytes, or the code with which the run fails. */
async function read(
  definition: PreparedDefinition,
  bytes: Buffer,
  recordBytes: number,
  { cuts, limits, kills }: Way,
): Promise<Read | string> {
  const objects = createMemoryObjects();
  const { format, pipeline } = definition;
  const input = { format: format.manifest, limits: { ...pipeline.manifest.limits, ...limits, recordBytes } };
  const batches: Batch[] = [];
  try {
    for (const durable of [...kills, Number.POSITIVE_INFINITY]) {
      const last = batches.at(-1);
      const isFile = format.layout.access === 'file';
      const after = isFile || !format.unpack ? last : undefined;
      const from = after && !isFile ? after.firstByte + after.sizeBytes : 0;
      const chunks = chop(bytes.subarray(from), cuts);
      let kept = 0;
      for await (const batch of createReceiver(objects).receive(scope, { ...input, after }, stream(chunks))) {
        // What is read again is what it was.
        if (batches[batch.seq]) assert.deepEqual(batch, batches[batch.seq]);
        batches[batch.seq] = batch;
        if (++kept >= durable) break;
      }
    }
    const result: Read = { rows: [], rejections: [], counts: zeroCounts };
    for (const batch of batches) await addBatch(definition, batch, objects, result);
    result.rejections.sort((a, b) => a.position - b.position);
    return result;
  } catch (error) {
    const { code } = error as { code?: string };
    if (!code || code === 'ERR_ASSERTION') throw error;
    return code;
  }
}

async function addBatch(
  definition: PreparedDefinition,
  batch: Batch,
  objects: ReturnType<typeof createMemoryObjects>,
  result: Read,
): Promise<void> {
  if (batch.refused) {
    const place = { position: batch.firstRecord, line: batch.firstLine, byteOffset: batch.firstByte };
    result.rejections.push({
      ...place,
      byteLength: batch.sizeBytes,
      code: batch.refused,
      path: '',
      message: '',
    });
    result.counts = addCounts(result.counts, { read: 1, rejected: 1 });
    return;
  }
  const bytes = Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest)));
  const observer = {
    onRows: (position: number, rows: readonly object[]) =>
      void result.rows.push(...rows.map((row): [number, object] => [position, { ...row }])),
    onFiltered() {},
  };
  const done = await processBatch(definition, batch, bytes, { transform: { parameters: {} }, observer });
  if (done.failure) throw done.failure;
  for (const stage of [done.validated, done.transformed!]) {
    result.rejections.push(...stage.rejections);
    result.counts = addCounts(result.counts, stage.counts);
  }
}

const atOnce: Way = { cuts: [], limits: { batchBytes: 2 ** 26, batchRecords: 1_000_000 }, kills: [] };

/** Reads both ways and compares. Returns what was read. */
async function compare(
  definition: PreparedDefinition,
  bytes: Buffer,
  recordBytes: number,
  how: Way,
): Promise<Read | string> {
  const expected = await read(definition, bytes, recordBytes, atOnce);
  const found = await read(definition, bytes, recordBytes, how);
  assert.deepEqual(found, expected);
  return expected;
}

async function* stream(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

/** In chunks that end there. */
export function chop(bytes: Buffer, at: readonly number[]): Buffer[] {
  const points = [...new Set([0, ...at.map((n) => n % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return points.slice(1).map((end, i) => bytes.subarray(points[i], end));
}

const Thing = z.strictObject({ id: z.int(), s: z.string().max(12), n: z.number().nullable() });
type Thing = z.infer<typeof Thing>;

function things(format: object): PreparedDefinition {
  return prepareDefinition(
    definePipeline({
      id: 'things',
      source: upload(format as ReturnType<typeof ndjson>),
      input: Thing,
      output: Thing,
      transform: (thing, { skip, reject }) => {
        if (thing.s.startsWith('a')) return skip('Unwanted');
        if (thing.s.startsWith('b')) return reject('Odd');
        return thing.s.startsWith('c') ? [thing, { ...thing, n: null }] : thing;
      },
      sink: postgres({ table: 'things', key: rowDigest() }),
    }),
  );
}

/** By the same rule, from the records themselves. */
function rowsOf(records: readonly (Thing | undefined)[]): [number, Thing][] {
  return records.flatMap((thing, position): [number, Thing][] => {
    if (!thing || /^[ab]/.test(thing.s)) return [];
    return thing.s.startsWith('c')
      ? [
          [position, thing],
          [position, { ...thing, n: null }],
        ]
      : [[position, thing]];
  });
}

const thing: fc.Arbitrary<Thing> = fc.record(
  {
    id: fc.integer(),
    s: fc.oneof(fc.constantFrom('a', 'b1', 'c', 'c2', ''), fc.string({ unit: 'grapheme', maxLength: 6 })),
    // A double that JSON writes and reads as it is.
    n: fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n))),
  },
  { noNullPrototype: true },
);

const isThing = (value: unknown): value is Thing => Thing.safeParse(value).success;
const hasNul = (text: string) => text.includes('\\u0000');

const junk = fc.oneof(
  fc.json({ maxDepth: 2 }),
  fc.constantFrom(
    '{',
    '{"id":1,"id":2}',
    '{"id":12345678901234567890,"s":"","n":null}',
    '"',
    '{"id":1,"s":"\\ud800","n":1}',
  ),
  fc.constantFrom(
    '{"__proto__":{}}',
    '{"id":1,"s":"\\u0000","n":null}',
    '\u00e9\u{1F4E6}',
    '\r',
    ' ',
    'x'.repeat(90),
  ),
);

export const properties: Readonly<Record<string, (runs: number) => Promise<void>>> = {
  async ndjson(numRuns) {
    const definition = things(ndjson());
    const line = fc.oneof({ weight: 3, arbitrary: thing }, { weight: 1, arbitrary: junk });
    const lines = fc.array(line, { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(
        ...[lines, fc.constantFrom('\n', '\r\n'), fc.boolean(), fc.integer({ min: 40, max: 120 }), way],
        async (some, end, ends, recordBytes, how) => {
          const texts = some.map((one) =>
            typeof one === 'string'
              ? one.replaceAll(end === '\n' ? '\n' : /[\r\n]/g, ' ')
              : JSON.stringify(one),
          );
          const bytes = Buffer.from(texts.join(end) + (ends ? end : ''));
          const found = await compare(definition, bytes, recordBytes, how);
          // Only the first bytes say that all of it is another format.
          if (typeof found === 'string') return assert.equal(found, 'FormatMismatch');
          const records = texts.flatMap((text, i) => {
            if (text === '' || text === '\r') return [];
            const returnBytes = end === '\r\n' && (ends || i < texts.length - 1) ? 1 : 0;
            const fits = Buffer.byteLength(text) + returnBytes <= recordBytes;
            const value = fits && !hasNul(text) ? parsed(text) : undefined;
            return [isThing(value) && isPlain(text) ? value : undefined];
          });
          assert.deepEqual(found.rows, rowsOf(records));
          assert.equal(found.counts.read, records.length);
        },
      ),
      { numRuns },
    );
  },

  async json(numRuns) {
    const definition = things(json());
    const item = fc.oneof(
      { weight: 3, arbitrary: thing },
      { weight: 1, arbitrary: fc.json({ maxDepth: 2 }) },
    );
    const space = fc.constantFrom('', '', ' ', '\n', '\r\n\t  ');
    await fc.assert(
      fc.asyncProperty(
        ...[
          fc.array(fc.tuple(space, item, space), { maxLength: 20 }),
          space,
          fc.integer({ min: 60, max: 120 }),
          way,
        ],
        async (some, around, recordBytes, how) => {
          const items = some.map(([before, one, behind]) => {
            const text = typeof one === 'string' ? one : JSON.stringify(one);
            return { text, bytes: before + text + behind };
          });
          const whole = `${around}[${items.map(({ bytes }) => bytes).join(',')}]${around}`;
          const found = await compare(definition, Buffer.from(whole), recordBytes, how);
          if (typeof found === 'string') return assert.fail(found);
          const values: unknown[] = JSON.parse(whole);
          assert.equal(found.counts.read, values.length);
          const large = new Set(
            found.rejections.flatMap(({ code, position }) => (code === 'RecordTooLarge' ? [position] : [])),
          );
          const records = values.map((value, i) => {
            const { text } = items[i]!;
            return isThing(value) && !large.has(i) && isPlain(text) && !hasNul(text) ? value : undefined;
          });
          for (const position of large)
            assert.ok(Buffer.byteLength(items[position]!.bytes) + around.length + 2 > recordBytes);
          assert.deepEqual(found.rows, rowsOf(records));
        },
      ),
      { numRuns },
    );
  },

  async csv(numRuns) {
    const field = fc
      .array(
        fc.constantFrom(
          'a',
          'b',
          ' ',
          ',',
          ';',
          '\t',
          '"',
          "'",
          '\n',
          '\r\n',
          '\u00e9',
          '\u{1F4E6}',
          'x'.repeat(20),
        ),
        { maxLength: 5 },
      )
      .map((parts) => parts.join(''));
    const table = fc.array(fc.tuple(field, field, fc.boolean()), { maxLength: 15 });
    const options: fc.Arbitrary<CsvOptions> = fc.record({
      delimiter: fc.constantFrom(',', ';', '\t'),
      quote: fc.constantFrom('"', "'"),
      encoding: fc.constantFrom('utf-8', 'utf-16le', 'utf-16be'),
    });
    await fc.assert(
      fc.asyncProperty(
        ...[table, options, fc.constantFrom('\n', '\r\n'), fc.boolean(), way],
        async (rows, how, end, ends, way) => {
          const { delimiter = ',', quote = '"' } = how as { delimiter: string; quote: string };
          const written = (text: string, force: boolean) =>
            force || [delimiter, quote, '\n', '\r'].some((one) => text.includes(one))
              ? `${quote}${text.replaceAll(quote, quote + quote)}${quote}`
              : text;
          const lines = rows.map(([a, b, force]) => `${written(a, force)}${delimiter}${written(b, force)}`);
          const text = [`a${delimiter}b`, ...lines].join(end) + (ends ? end : '');
          const definition = prepareDefinition(
            definePipeline({
              id: 'texts',
              source: upload(csv(how)),
              input: z.strictObject({ a: z.string(), b: z.string().max(40) }),
              sink: postgres({ table: 'texts', key: rowDigest() }),
            }),
          );
          const found = await compare(definition, encoded(text, how.encoding!), 1_000, way);
          if (typeof found === 'string') return assert.fail(found);
          const expected: { a: string; b: string }[] = parse(text, {
            delimiter,
            quote,
            escape: quote,
            columns: true,
            skip_empty_lines: true,
          });
          const fits = expected.flatMap((row, position): [number, object][] =>
            row.b.length <= 40 ? [[position, row]] : [],
          );
          assert.deepEqual(found.rows, fits);
          assert.equal(found.counts.read, expected.length);
        },
      ),
      { numRuns },
    );
  },

  /** Anything after the header, with quotes and carriage returns wherever they fall. */
  async brokenCsv(numRuns) {
    const definition = prepareDefinition(
      definePipeline({
        id: 'texts',
        source: upload(csv()),
        input: z.strictObject({ a: z.string(), b: z.string().max(3) }),
        sink: postgres({ table: 'texts', key: rowDigest() }),
      }),
    );
    const parts = fc.array(
      fc.constantFrom('a', 'b', ',', ',', '"', '"', '\n', '\n', '\r\n', '\r', '\u00e9', '\0', '\xff'),
      { maxLength: 90 },
    );
    await fc.assert(
      fc.asyncProperty(
        ...[parts, fc.boolean(), fc.integer({ min: 5, max: 40 }), way],
        async (some, latin, recordBytes, how) => {
          const bytes = Buffer.from(`a,b\n${some.join('')}`, latin ? 'latin1' : 'utf8');
          await compare(definition, bytes, recordBytes, how);
        },
      ),
      { numRuns },
    );
  },

  /** Each run starts some processes. */
  async parquet(numRuns) {
    const definition = things(parquet());
    await fc.assert(
      fc.asyncProperty(
        fc.array(thing, { maxLength: 25 }),
        fc.integer({ min: 1, max: 30 }),
        way,
        async (some, rowGroupSize, how) => {
          const columnData = [
            { name: 'id', data: some.map(({ id }) => id), type: 'INT32' as const },
            { name: 's', data: some.map(({ s }) => s), type: 'STRING' as const },
            { name: 'n', data: some.map(({ n }) => n), type: 'DOUBLE' as const, nullable: true },
          ];
          const bytes = Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize }));
          const whole = await read(definition, bytes, 1_000, atOnce);
          const found = await read(definition, bytes, 1_000, { ...how, kills: how.kills.slice(0, 1) });
          assert.deepEqual(found, whole);
          if (typeof whole === 'string') return assert.fail(whole);
          assert.deepEqual(
            whole.rows,
            rowsOf(some.map((one) => (isThing(one) && !one.s.includes('\0') ? one : undefined))),
          );
        },
      ),
      { numRuns: Math.ceil(numRuns / 30), endOnFailure: true },
    );
  },
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Nothing that is rejected although JSON.parse reads it: keys twice, halves of a character, more digits than a double. */
function isPlain(text: string): boolean {
  const value = parsed(text);
  return (
    typeof value === 'object' &&
    value !== null &&
    /^\{"id":-?\d{1,10},"s":"/.test(text) &&
    JSON.stringify(value) === text &&
    text.isWellFormed() &&
    !/\\ud[89a-f]/.test(text)
  );
}

function encoded(text: string, encoding: string): Buffer {
  if (encoding === 'utf-8') return Buffer.from(text);
  const bytes = Buffer.from(text, 'utf16le');
  return encoding === 'utf-16be' ? bytes.swap16() : bytes;
}
