import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { z } from 'zod';
import type { CsvOptions } from '../../connectors/formats/csv/csvManifest.ts';
import { connectors } from '../../connectors/index.ts';
import { defaultLimits, type FormatManifest, type Limits } from '../../domain/pipelines/manifest.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { csv, definePipeline, file, postgres, tsv, upload } from '../../sdk/index.ts';
import { testPipeline } from '../../sdk/testing.ts';

const Person = z.strictObject({ name: z.string(), age: z.string().nullable().optional() });

function pipelineOf(format: CsvOptions | ReturnType<typeof csv> = {}, input: z.ZodObject = Person) {
  const source = upload('name' in format ? format : csv(format));
  return definePipeline({
    id: 'people',
    source,
    input,
    sink: postgres({ table: 'people', key: ['name'] }),
  } as never);
}

async function read(bytes: string | Uint8Array, format: CsvOptions = {}, input: z.ZodObject = Person) {
  const { stored, rejected } = await testPipeline(pipelineOf(format, input) as never, bytes);
  return { stored: stored as object[], codes: rejected.map(({ code }) => code) };
}

const utf16 = (text: string, bigEndian = false) => {
  const bytes = Buffer.from(text, 'utf16le');
  return bigEndian ? bytes.swap16() : bytes;
};
const ada = { name: 'ada', age: '36' };

describe('a carriage return outside quotes', () => {
  it('makes a row malformed, and is never a part of a value', async () => {
    for (const row of [
      'ada,36\r\r\n',
      'ada\r,36\n',
      '\rada,36\n',
      'ada,36\rbob,1\rcid,2\r',
      'ada,36\r',
      '"ada"\r,36\r\n',
      '"ada",36\r\r\n',
      '\r\r\n',
    ])
      assert.deepEqual(
        await read(`name,age\n${row}`),
        { stored: [], codes: ['MalformedCsv'] },
        JSON.stringify(row),
      );
  });

  it('makes a header invalid, which says what to do', async () => {
    for (const text of [
      'name,age\rada,36\rbob,1\r',
      'name,age\r\r\nada,36\r\r\n',
      'name\r,age\nada,36\n',
      'name,age\r',
      '\rname,age\nada,36\n',
      '"name"\r,age\n',
    ])
      await assert.rejects(
        read(text),
        { code: 'HeaderInvalid', publicDetail: /carriage return/ },
        JSON.stringify(text),
      );
    const large = `name,age\r${'ada,36\r'.repeat(1_000_000)}`;
    await assert.rejects(read(large), { code: 'HeaderInvalid', publicDetail: /carriage return/ });
  });

  it('is kept inside quotes', async () => {
    const { stored } = await read('"name",age\r\n"a\rb\r\n","\r"\r\n');
    assert.deepEqual(stored, [{ name: 'a\rb\r\n', age: '\r' }]);
  });
});

describe('a header that does not fit the input', () => {
  it('fails at once, and names what is unknown and what is missing, in the words of the file', async () => {
    const cases: [string, CsvOptions, RegExp][] = [
      ['a;b\n1;2\n', {}, /Missing: "name"\. Unknown: "a;b"\.$/],
      ['name;age\nada;36\n', {}, /Missing: "name"\. Unknown: "name;age"\. .*delimiter: ";"/],
      ['name\tage\nada\t36\n', {}, /delimiter: "\\t"/],
      ['age\n36\n', {}, /Missing: "name"\.$/],
      ['name,size\nada,36\n', {}, /Unknown: "size"\.$/],
      ['Name,age\n', {}, /Missing: "name"\. Unknown: "Name"\.$/],
      ['Age\n1\n', { columns: { 'Full name': 'name', Age: 'age' } }, /Missing: "Full name"\.$/],
      [
        'Full name,name\na,b\n',
        { columns: { 'Full name': 'name' } },
        /same field as an earlier column: "name"\.$/,
      ],
    ];
    for (const [text, format, publicDetail] of cases)
      await assert.rejects(read(text, format), { code: 'HeaderInvalid', publicDetail }, text);
    await read('name\n', { columns: { 'Full name': 'name' } });
  });
});

describe('options of CSV', () => {
  it('read other delimiters and quotes, or none', async () => {
    assert.deepEqual((await read('name\tage\nada\t36\n', tsv())).stored, [ada]);
    assert.deepEqual((await read("name|age\n'a|''d''a\n'|36\n", { delimiter: '|', quote: "'" })).stored, [
      { name: "a|'d'a\n", age: '36' },
    ]);
    const unquoted = await read('name\tage\n"ada\t3"6\n', { delimiter: '\t', quote: false });
    assert.deepEqual(unquoted.stored, [{ name: '"ada', age: '3"6' }]);
    assert.deepEqual((await read('name,age\n$a,36\n', { quote: '$' })).codes, ['UnterminatedQuote']);
    assert.deepEqual((await read('name,age\n$a$$$,$$\n', { quote: '$' })).stored, [{ name: 'a$', age: '' }]);
  });

  it('keep spaces', async () => {
    assert.deepEqual((await read('name,age\n ada , 36 \n')).stored, [{ name: ' ada ', age: ' 36 ' }]);
  });

  it('map columns to fields, and leave columns out', async () => {
    const columns = { 'Full name': 'name', 'Age $': 'age', Notes: null };
    assert.deepEqual((await read('Notes,Age $,Full name\nx,36,ada\n', { columns })).stored, [ada]);
  });

  it('read files without a header by the names that are given', async () => {
    const columns = ['age', null, 'name'];
    assert.deepEqual((await read('36,x,ada\n', { header: false, columns })).stored, [ada]);
    assert.deepEqual((await read('\ufeff36,x,ada\r\n36,ada\n', { header: false, columns })).codes, [
      'WrongColumnCount',
    ]);
  });

  it('that contradict each other or the input do not load', () => {
    const wrong: [CsvOptions, RegExp][] = [
      [{ header: false }, /format\.columns: must list/],
      [{ header: false, columns: { name: 'name' } }, /format\.columns: must list/],
      [{ columns: ['name', 'age'] }, /format\.columns: must say/],
      [{ header: false, columns: ['age'] }, /lacks "name"/],
      [{ columns: { a: 'size' } }, /“size”, which is not a field/],
      [{ columns: { a: 'name', b: 'name' } }, /“name” twice/],
      [{ delimiter: "'", quote: "'" }, /format\.quote: cannot be the delimiter/],
      [{ delimiter: '""' }, /delimiter/],
      [{ quote: 'é' }, /quote/],
      [{ encoding: 'utf-7' as never }, /encoding/],
    ];
    for (const [format, message] of wrong)
      assert.throws(() => pipelineOf(format), { code: 'DefinitionInvalid', message }, String(message));
    const growing = (format: CsvOptions, path = 'a.csv') =>
      definePipeline({
        id: 'people',
        source: file(csv(format), { path, cursor: 'bytes' }),
        input: Person,
        sink: postgres({ table: 'people', key: ['name'] }),
      });
    assert.throws(() => growing({ encoding: 'latin1' }), { code: 'DefinitionInvalid', message: /cursor/ });
    assert.throws(() => growing({}, 'a.csv.gz'), { code: 'DefinitionInvalid', message: /cursor/ });
    growing({});
  });
});

describe('encodings of CSV', () => {
  const text = 'name,age\r\nJosé €,36\n\u{1F4E6}\u{1F4E6},\n';
  const wide = [
    { name: 'José €', age: '36' },
    { name: '\u{1F4E6}\u{1F4E6}', age: '' },
  ];

  it('are read as declared, with or without a byte-order mark', async () => {
    for (const mark of ['', '\ufeff']) {
      assert.deepEqual((await read(utf16(mark + text), { encoding: 'utf-16le' })).stored, wide);
      assert.deepEqual((await read(utf16(mark + text, true), { encoding: 'utf-16be' })).stored, wide);
    }
    const narrow = Buffer.from('name,age\nJos\xe9 \x80,36\n', 'latin1');
    assert.deepEqual((await read(narrow, { encoding: 'latin1' })).stored, [
      { name: 'José \u0080', age: '36' },
    ]);
    assert.deepEqual((await read(narrow, { encoding: 'windows-1252' })).stored, [wide[0]]);
  });

  it('windows-1252 is read as the WHATWG reads it, but for bytes that are no character', async () => {
    const decoder = new TextDecoder('windows-1252');
    for (let byte = 0x80; byte <= 0xff; byte++) {
      const { stored, codes } = await read(Buffer.from(`name\nx${String.fromCharCode(byte)}\n`, 'latin1'), {
        encoding: 'windows-1252',
      });
      if ([0x81, 0x8d, 0x8f, 0x90, 0x9d].includes(byte)) assert.deepEqual(codes, ['InvalidEncoding']);
      else assert.deepEqual(stored, [{ name: `x${decoder.decode(Buffer.from([byte]))}` }]);
    }
  });

  it('reject the record alone that has what is no character', async () => {
    const halves = utf16('name\nada\n\ud800x\n\udc00\nbob\nx\ud83d\n');
    const { stored, codes } = await read(Buffer.concat([halves, Buffer.from([0x41])]), {
      encoding: 'utf-16le',
    });
    assert.deepEqual(stored, [{ name: 'ada' }, { name: 'bob' }]);
    assert.deepEqual(codes, Array(4).fill('InvalidEncoding'));
    assert.deepEqual((await read(Buffer.from('name\nJos\xe9\nada\n', 'latin1'))).codes, ['InvalidUtf8']);
  });

  it('that plainly are others than declared fail at once, and say what to declare', async () => {
    const cases: [Buffer, CsvOptions, RegExp][] = [
      [utf16('\ufeffname\n'), {}, /encoding: 'utf-16le'/],
      [utf16('\ufeffname\n', true), {}, /encoding: 'utf-16be'/],
      [utf16('name\nada\n'), {}, /encoding: 'utf-16le'/],
      [utf16('\ufeffname\n', true), { encoding: 'utf-16le' }, /encoding: 'utf-16be'/],
      [utf16('\ufeffname\n'), { encoding: 'latin1' }, /encoding: 'utf-16le'/],
      [Buffer.from('\ufeffname\n'), { encoding: 'windows-1252' }, /encoding: 'utf-8'/],
      [Buffer.from('name,age\nada,36\n'), { encoding: 'utf-16be' }, /encoding: 'utf-8'/],
      [Buffer.from('\x1f\x8b\x08\0', 'latin1'), { encoding: 'latin1' }, /compression: 'gzip'/],
    ];
    for (const [bytes, format, publicDetail] of cases)
      await assert.rejects(
        read(bytes, format),
        { code: 'FormatMismatch', publicDetail },
        String(publicDetail),
      );
  });
});

describe('any CSV, in any pieces and batches', () => {
  const scope = { tenant: 'acme', runId: 'people-1' };

  async function readAll(manifest: FormatManifest, bytes: Buffer, cuts: number[], limits: Partial<Limits>) {
    const points = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
      (a, b) => a - b,
    );
    async function* chunks() {
      for (const [i, end] of points.slice(1).entries()) yield bytes.subarray(points[i], end);
    }
    const objects = createMemoryObjects();
    const input = { format: manifest, limits: { ...defaultLimits, ...limits } };
    const values: object[] = [];
    const codes: string[] = [];
    for await (const batch of createReceiver(objects).receive(scope, input, chunks())) {
      if (batch.refused) codes.push(batch.refused);
      else
        await connectors
          .format(manifest)
          .read(
            batch,
            Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest))),
            (_start, _end, _at, record) => {
              if (typeof record === 'string') codes.push(record);
              else if ('value' in record) values.push({ ...record.value });
              else codes.push(record.code);
            },
          );
    }
    return { values, codes };
  }

  const cuts = fc.array(fc.nat(400), { maxLength: 12 });
  const limits = fc.record({
    batchBytes: fc.integer({ min: 1, max: 60 }),
    batchRecords: fc.integer({ min: 1, max: 5 }),
  });
  const characters = [
    'a',
    'b',
    'é',
    '\u{1F4E6}',
    ' ',
    ',',
    ';',
    '\t',
    '"',
    "'",
    '\n',
    '\r',
    '\r\n',
    '\ufeff',
  ];
  const field = fc.string({ unit: fc.constantFrom(...characters), maxLength: 6 });
  const dialect = fc.constantFrom(
    { delimiter: ',', quote: '"' },
    { delimiter: ';', quote: '"' },
    { delimiter: '\t', quote: "'" },
  );
  const parsed = (text: string, { delimiter, quote }: { delimiter: string; quote: string }) =>
    parse(text, {
      ...{ delimiter, quote, escape: quote, bom: true, columns: true },
      ...{ record_delimiter: ['\n', '\r\n'], skip_empty_lines: true },
    }).map((record) => ({ ...(record as object) }));

  it('gives the records that were written, as csv-parse reads all of it at once', async () => {
    const rows = fc.array(fc.array(fc.tuple(field, fc.boolean()), { minLength: 3, maxLength: 3 }), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(
        rows,
        dialect,
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        cuts,
        limits,
        async (table, { delimiter, quote }, newline, mark, at, bounds) => {
          const special = new RegExp(`[${quote}${delimiter}\\r\\n]|^\ufeff`);
          const written = ([text, quoted]: [string, boolean]) =>
            quoted || special.test(text) ? quote + text.replaceAll(quote, quote + quote) + quote : text;
          const lines = table.map((row) => row.map(written).join(delimiter) + newline);
          const text = `${mark ? '\ufeff' : ''}${['x', 'y', 'z'].join(delimiter)}${newline}${lines.join('')}`;
          const read = await readAll(csv({ delimiter, quote }), Buffer.from(text), at, bounds);
          const records = table.map(([x, y, z]) => ({ x: x![0], y: y![0], z: z![0] }));
          assert.deepEqual(read, { values: records, codes: [] });
          assert.deepEqual(parsed(text, { delimiter, quote }), records);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('gives what csv-parse gives of any text that it takes as a whole', async () => {
    const text = fc.array(fc.constantFrom('a', 'é', ' ', ',', ',', '"', '""', '\n', '\r\n'), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(text, cuts, limits, async (parts, at, bounds) => {
        const all = `x,y\n${parts.join('')}`;
        const read = await readAll(csv(), Buffer.from(all), at, bounds);
        let expected: object[] | undefined;
        try {
          expected = parsed(all, { delimiter: ',', quote: '"' });
        } catch {}
        if (expected) assert.deepEqual(read, { values: expected, codes: [] }, JSON.stringify(all));
        else assert.ok(read.codes.length > 0, JSON.stringify(all));
      }),
      { numRuns: 1_500 },
    );
  });

  it('gives the same in every encoding', async () => {
    const line = fc.string({
      unit: fc.constantFrom('a', 'é', 'ÿ', ' ', ',', '"', '\n', '\r\n'),
      maxLength: 40,
    });
    const encode = {
      'utf-16le': (text: string) => Buffer.from(text, 'utf16le'),
      'utf-16be': (text: string) => Buffer.from(text, 'utf16le').swap16(),
      latin1: (text: string) => Buffer.from(text, 'latin1'),
      'windows-1252': (text: string) => Buffer.from(text, 'latin1'),
    } as const;
    await fc.assert(
      fc.asyncProperty(line, cuts, limits, async (body, at, bounds) => {
        const text = `x,y\n${body}`;
        const expected = await readAll(csv(), Buffer.from(text), [], {});
        for (const [encoding, bytes] of Object.entries(encode))
          assert.deepEqual(
            await readAll(csv({ encoding: encoding as keyof typeof encode }), bytes(text), at, bounds),
            expected,
            encoding,
          );
      }),
      { numRuns: 200 },
    );
  });
});
