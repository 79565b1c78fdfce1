import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { CheckedFile } from '../../sdk/checkFile.ts';
import { makeProject, type TestProject } from '../support/makeProject.ts';
import { documents, runWaybill } from './waybillProcess.ts';

const pipelineOf = (id: string, format: string) => `
import { csv, definePipeline, json, ndjson, parquet, postgres, upload } from 'waybill';
import { z } from 'zod';
export default definePipeline({
  id: '${id}',
  source: upload(${format}),
  parameters: z.strictObject({ least: z.int().default(0) }),
  input: z.strictObject({ id: z.string(), n: ${format === 'csv()' ? 'z.coerce.number()' : 'z.int32()'} }),
  output: z.strictObject({ id: z.string(), n: z.int32() }),
  transform: (record, { parameters, skip, reject }) =>
    record.n === 13 ? reject('Unlucky', { path: 'n' }) : record.n < parameters.least ? skip('Small') : record,
  sink: postgres({ table: '${id}', key: ['id'] }),
  limits: { recordBytes: 1024, batchBytes: 1024 * 1024 },
});
`;

const good = [
  { id: 'a', n: 1 },
  { id: 'b', n: 2 },
];
const bad = [{ id: 'c', n: 13 }, { id: 'd', n: 'x' }, { id: 'e' }];
const long = { id: 'f'.repeat(2000), n: 1 };
const lines = (records: readonly object[]) => records.map((r) => `${JSON.stringify(r)}\n`).join('');
const table = (records: readonly { id: string; n?: unknown }[]) =>
  `id,n\n${records.map(({ id, n = '' }) => `${id},${n}\n`).join('')}`;

describe('waybill check', () => {
  let project: TestProject;

  before(async () => {
    project = await makeProject({
      files: {
        'pipelines/lines.ts': pipelineOf('lines', 'ndjson()'),
        'pipelines/tables.ts': pipelineOf('tables', 'csv()'),
        'pipelines/files.ts': pipelineOf('files', 'parquet()'),
        'pipelines/arrays.ts': pipelineOf('arrays', 'json()'),
      },
    });
  });
  after(() => project.remove());

  const run = (...args: string[]) => runWaybill(['check', ...args, '--project', project.path], {});

  async function check(pipeline: string, name: string, data: string | Uint8Array, ...more: string[]) {
    const path = join(project.path, name);
    await writeFile(path, data);
    const ended = await run(pipeline, path, '--json', ...more);
    const [checked] = documents<CheckedFile>(ended);
    return { code: ended.code, checked: checked!, ended };
  }

  for (const [pipeline, suffix, write] of [
    ['lines', 'ndjson', (records: typeof good) => lines(records)],
    ['tables', 'csv', table],
    ['arrays', 'json', (records: typeof good) => JSON.stringify(records)],
  ] as const)
    for (const [end, compress] of [
      ['', Buffer.from],
      ['.gz', gzipSync],
      ['.zst', zstdCompressSync],
    ] as const)
      it(`reads ${suffix}${end}, and its exit code says whether a record is rejected`, async () => {
        const name = `data.${suffix}${end}`;
        const fine = await check(pipeline, name, compress(Buffer.from(write(good))));
        assert.equal(fine.code, 0);
        assert.deepEqual(fine.checked.rejectedByCode, {});
        const { code, checked } = await check(
          pipeline,
          name,
          compress(Buffer.from(write([...good, ...bad] as typeof good))),
        );
        assert.equal(code, 1);
        const { read, passed, filtered, rejected, emitted, stored } = checked.counts;
        assert.deepEqual([read, passed, filtered, rejected, emitted, stored], [5, 2, 0, 3, 2, 0]);
        assert.deepEqual(checked.rejectedByCode, { SchemaMismatch: 2, Unlucky: 1 });
        const first = pipeline === 'lines' ? 3 : pipeline === 'tables' ? 4 : 2;
        assert.deepEqual(
          checked.examples.map(({ line, code, path }) => [line, code, path]),
          [
            [first, 'Unlucky', 'n'],
            [first + 1, 'SchemaMismatch', 'n'],
            [first + 2, 'SchemaMismatch', 'n'],
          ],
        );
        assert.match(checked.examples[1]!.text!, /d.*x/);
      });

  it('gives counts and examples that a person reads, and takes parameters', async () => {
    const path = join(project.path, 'some.ndjson');
    await writeFile(path, lines([...good, ...bad]));
    const ended = await run('lines', path, '--param', 'least=2');
    assert.equal(ended.code, 1);
    assert.match(ended.stdout, /lines rejects 3 of 5 records\./);
    assert.match(ended.stdout, /read 5 = passed 1 \+ filtered 1 \+ rejected 3/);
    assert.match(ended.stdout, / 3 {2}Unlucky +n .*\{"id":"c","n":13\}/);
  });

  it('rejects a record that is too large unread', async () => {
    const { code, checked } = await check('lines', 'large.ndjson', lines([good[0]!, long, good[1]!]));
    assert.equal(code, 1);
    assert.deepEqual(
      checked.examples.map(({ line, code }) => [line, code]),
      [[2, 'RecordTooLarge']],
    );
  });

  it('shows the first five of a code and counts all', async () => {
    const { checked } = await check('lines', 'many.ndjson', '{\n'.repeat(40_000));
    assert.deepEqual(checked.rejectedByCode, { MalformedJson: 40_000 });
    assert.deepEqual(
      checked.examples.map(({ line }) => line),
      [1, 2, 3, 4, 5],
    );
  });

  for (const [name, data, code] of [
    ['empty.ndjson', '', 'InputEmpty'],
    ['other.ndjson', '[{"id":"a","n":1}]', 'FormatMismatch'],
    ['cut.ndjson.gz', gzipSync(lines(good)).subarray(0, 20), 'DecompressionFailed'],
  ] as const)
    it(`rejects ${name} as a whole: ${code}`, async () => {
      const { code: exit, ended } = await check('lines', name, data);
      assert.equal(exit, 1);
      assert.equal(JSON.parse(ended.stdout).error.code, code);
    });

  it('names the pipeline that a mistyped one is meant to be, and a file that is not there', async () => {
    const near = await run('line', join(project.path, 'package.json'));
    assert.match(near.stderr, /^PipelineNotFound: .*Is it lines\?/);
    assert.equal((await run('lines', 'nowhere.ndjson')).code, 2);
  });

  it('reads a Parquet file, of which no text is shown', async () => {
    const columnData = [
      { name: 'id', data: ['a', 'b', 'c'], type: 'STRING' as const },
      { name: 'n', data: [1, 13, 3], type: 'INT32' as const },
    ];
    const { code, checked } = await check(
      'files',
      'some.parquet',
      new Uint8Array(parquetWriteBuffer({ columnData })),
    );
    assert.equal(code, 1);
    assert.equal(checked.counts.passed, 2);
    assert.deepEqual(
      checked.examples.map(({ code, path, text }) => [code, path, text]),
      [['Unlucky', 'n', undefined]],
    );
  });

  it('reads 40 MB in constant memory and leaves nothing behind', async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'waybill-check-test-'));
    const child = spawn(
      process.execPath,
      [
        '--import',
        'data:text/javascript,process.on("exit",()=>console.error(process.resourceUsage().maxRSS))',
        fileURLToPath(new URL('../../cli/main.ts', import.meta.url)),
        ...['check', 'lines', '-', '--json', '--project', project.path],
      ],
      { env: { PATH: process.env.PATH, TMPDIR: temporary } },
    );
    const piece = lines(
      Array.from({ length: 10_000 }, (_, n) => ({ id: `${n}`.padEnd(80, '-'), n: n + 100 })),
    );
    Readable.from(Array.from({ length: Math.ceil(40e6 / piece.length) }, () => piece)).pipe(child.stdin);
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    const checked = JSON.parse(stdout) as CheckedFile;
    assert.equal(checked.counts.passed, 10_000 * Math.ceil(40e6 / piece.length));
    assert.ok(Number(stderr.trim()) < 300 * 1024, `${stderr} KiB`);
    assert.deepEqual(await readdir(temporary), []);
    await rm(temporary, { recursive: true });
  });
});

async function text(stream: AsyncIterable<Buffer>): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += chunk.toString();
  return all;
}
