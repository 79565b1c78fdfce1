import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parquetMetadata } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { cutInProcess } from '../../connectors/formats/parquet/cutInProcess.ts';
import { cutParquet } from '../../connectors/formats/parquet/cutParquet.ts';
import { parquet } from '../../connectors/formats/parquet/index.ts';
import { checkPages, pageCompressors, Unreadable } from '../../connectors/formats/parquet/pageBounds.ts';
import { connectors } from '../../connectors/index.ts';
import type { FileLayout } from '../../domain/connectors/formatKind.ts';
import { defaultLimits } from '../../domain/pipelines/manifest.ts';

const folder = new URL('parquet/', import.meta.url);
const layout = connectors.format(parquet()).layout as FileLayout;

/** The rows as they are pinned: lines of JSON. */
async function linesOf(pieces: AsyncIterable<unknown>): Promise<string[]> {
  const texts: string[] = [];
  for await (const piece of pieces)
    if (piece instanceof Uint8Array) texts.push(Buffer.from(piece).toString());
  return texts.join('').split('\n').slice(0, -1);
}

function fileOf(bytes: Uint8Array) {
  return {
    sizeBytes: bytes.length,
    read: async (first: number, length: number) => bytes.subarray(first, first + length),
  };
}

const cut = (bytes: Uint8Array, limits = defaultLimits) => linesOf(layout.cut(fileOf(bytes), limits));

/** A number by its text. */
function digits(_: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? (context?.source ?? String(value)) : value;
}

const named = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
/** What pyarrow 26 and DuckDB 2.0, which wrote the files, were given and read back. */
const expected = JSON.parse(
  named('expected.json').toString() && readFileSync(new URL('expected.json', folder), 'utf8'),
  (_, value) => (typeof value === 'number' ? String(value) : value),
);

describe('Parquet files of other tools', () => {
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.parquet')))
    it(`${name} is read value by value`, async () => {
      const pieces = cutParquet(fileOf(named(name)), defaultLimits);
      const rows = expected[name.replace('.parquet', '')];
      const read = (await linesOf(pieces)).map((line) => JSON.parse(line, digits));
      assert.deepEqual(read, rows === 'table' ? expected.table : rows);
    });
});

describe('Parquet files that are damaged, or made to harm', () => {
  const mismatch = { code: 'FormatMismatch' };

  it('that are cut off anywhere end the run', async () => {
    for (const name of ['zstd-v1', 'nested-v2', 'times']) {
      const whole = named(`${name}.parquet`);
      for (let size = 1; size < whole.length; size += 131) {
        const pieces = cutParquet(fileOf(whole.subarray(0, size)), defaultLimits);
        await assert.rejects(linesOf(pieces), mismatch, `${name} ${size}`);
      }
    }
  });

  it('end the run also where the library does not catch what it throws', async () => {
    const codes = new Set<unknown>();
    for (let at = 4; at < 400; at += 31) {
      const bytes = named('lz4-v1.parquet');
      bytes[at]! ^= 0xff;
      codes.add(
        await cut(bytes).then(
          () => 'read',
          (error) => error.code,
        ),
      );
    }
    assert.deepEqual([...codes].sort(), ['FormatMismatch', 'read']);
  });

  it('with a run of a billion values in a page of a hundred bytes end their process, and no more', async () => {
    const bytes = named('none-v1.parquet');
    const { row_groups: groups } = parquetMetadata(bytes.slice().buffer);
    const word = groups[0]!.columns[1]!.meta_data!;
    const reader = { view: new DataView(bytes.buffer), offset: Number(word.data_page_offset) };
    parquetHeader(reader);
    const levels = reader.view.getUint32(reader.offset, true);
    // A header of a run: so many times the value that follows, as a varint.
    bytes.set([0x80, 0x80, 0x80, 0x80, 0x04, 0x01], reader.offset + 4 + levels + 1);
    await assert.rejects(linesOf(cutInProcess(fileOf(bytes), defaultLimits, 64)), mismatch);
  });

  it('are read as far as the limit of the pipeline for decompressed data', async () => {
    const limits = { ...defaultLimits, decompressedBytes: 2_000 };
    await assert.rejects(cut(named('zstd-v1.parquet'), limits), { code: 'DecompressedTooLarge' });
  });

  it('with a footer that is larger than a footer can be are not loaded', async () => {
    const sizeBytes = 2 ** 31;
    const asked: number[] = [];
    const tail = Buffer.from([0, 0, 0, 0x10, ...Buffer.from('PAR1')]);
    const read = async (_: number, length: number) => {
      asked.push(length);
      return tail;
    };
    await assert.rejects(linesOf(cutParquet({ sizeBytes, read }, defaultLimits)), mismatch);
    assert.deepEqual(asked, [8]);
  });

  it('with pages that claim more than they hold are not decoded', () => {
    const zigzag = (n: number) => {
      const bytes: number[] = [];
      for (let left = n * 2; ; left = Math.floor(left / 128)) {
        bytes.push((left % 128) + (left >= 128 ? 128 : 0));
        if (left < 128) return bytes;
      }
    };
    /** A page of 16 bytes, in Thrift’s compact protocol: `type`, sizes, and its values by dictionary. */
    const page = ({ values = 4, packed = 16, unpacked = 16 }) =>
      Uint8Array.from([
        ...[0x15, 0, 0x15, ...zigzag(unpacked), 0x15, ...zigzag(packed)],
        ...[0x2c, 0x15, ...zigzag(values), 0x15, ...zigzag(8), 0x15, 6, 0x15, 6, 0, 0],
        ...new Array(16).fill(1),
      ]);
    const check = (bytes: Uint8Array, rows = 4, flat = true) => {
      const meta = { data_page_offset: 4n, total_compressed_size: BigInt(bytes.length) };
      const group = { num_rows: BigInt(rows), columns: [{ meta_data: meta }] } as never;
      checkPages(group, bytes, 4, flat);
    };
    check(page({}));
    for (const claims of [{ values: 2 ** 30 }, { unpacked: 2 ** 30 }, { packed: 17 }, { values: 3 }])
      assert.throws(() => check(page(claims)), Unreadable, JSON.stringify(claims));
    const many = Buffer.concat([1, 2, 3].map(() => page({ values: 2 ** 24 })));
    check(many, 3 * 2 ** 24);
    assert.throws(() => check(many, 3 * 2 ** 24, false), Unreadable);
    assert.throws(() => pageCompressors.ZSTD!(zstdCompressSync(Buffer.alloc(64 * 1024 * 1024)), 100));
    assert.throws(() => pageCompressors.GZIP!(gzipSync(Buffer.alloc(1024 * 1024)), 100));
  });
});
