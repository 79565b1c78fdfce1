import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type Compression, compressionOf } from '../../domain/sources/compression.ts';
import { decompress } from '../../engine/records/decompress.ts';

const compress = { gzip: gzipSync, zstd: zstdCompressSync } as const;
const mebibyte = 1024 * 1024;

async function* stream(chunks: Iterable<Uint8Array>) {
  yield* chunks;
}

async function read(compression: Compression, chunks: Iterable<Uint8Array>, sizeBytesMax = 64 * mebibyte) {
  const parts: Uint8Array[] = [];
  for await (const part of decompress(stream(chunks), compression, sizeBytesMax)) parts.push(part);
  return Buffer.concat(parts).toString();
}

for (const compression of ['gzip', 'zstd'] as const) {
  const pack = (text: string | Buffer) => compress[compression](text);

  describe(compression, () => {
    it('gives what was compressed, in one part or several, however the bytes arrive', async () => {
      const parts = fc.array(fc.string({ maxLength: 200 }), { minLength: 1, maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(parts, fc.integer({ min: 1, max: 200 }), async (texts, chunkBytes) => {
          const bytes = Buffer.concat(texts.map(pack));
          const chunks = [];
          for (let at = 0; at < bytes.length; at += chunkBytes)
            chunks.push(bytes.subarray(at, at + chunkBytes));
          assert.equal(await read(compression, chunks), Buffer.from(texts.join('')).toString());
        }),
        { numRuns: 60 },
      );
    });

    it('fails wherever the data is cut or damaged, and where other data follows', async () => {
      const one = pack('{"a":1}\n'.repeat(50));
      const bytes = Buffer.concat([one, pack('{"a":2}\n')]);
      for (let end = 1; end < bytes.length; end++) {
        if (end === one.length) continue;
        for (const chunks of [
          [bytes.subarray(0, end)],
          [...bytes.subarray(0, end)].map((b) => Buffer.from([b])),
        ])
          await assert.rejects(read(compression, chunks), { code: 'DecompressionFailed' }, `cut at ${end}`);
      }
      await assert.rejects(read(compression, [bytes, Buffer.from('a,b\n')]), { code: 'DecompressionFailed' });
      await assert.rejects(read(compression, [Buffer.concat([bytes, Buffer.from('a,b\n')])]), {
        code: 'DecompressionFailed',
      });
      await assert.rejects(read(compression, [Buffer.from('a,b\n1,2\n')]), { code: 'DecompressionFailed' });
    });

    it('gives nothing where nothing came', async () => {
      assert.equal(await read(compression, []), '');
      assert.equal(await read(compression, [pack('')]), '');
    });

    it('is bounded, by the limit and by the ratio', async () => {
      const bomb = pack(Buffer.alloc(256 * mebibyte));
      let most = 0;
      const counted = async (sizeBytesMax: number) => {
        let sizeBytes = 0;
        for await (const part of decompress(stream([bomb]), compression, sizeBytesMax)) {
          sizeBytes += part.length;
          most = Math.max(most, sizeBytes);
        }
      };
      await assert.rejects(counted(mebibyte), { code: 'DecompressedTooLarge' });
      assert.ok(most <= mebibyte);
      await assert.rejects(counted(1024 * mebibyte), { code: 'DecompressedTooLarge' });
      assert.ok(most <= 65 * mebibyte);
    });

    it('passes on what the stream throws, and lets go of it when nothing more is wanted', async () => {
      const gone = new Error('gone');
      async function* breaking() {
        yield pack('a').subarray(0, 5);
        throw gone;
      }
      await assert.rejects(async () => {
        for await (const _ of decompress(breaking(), compression, mebibyte));
      }, gone);
      let returned = false;
      async function* endless() {
        try {
          for (;;) yield pack('a'.repeat(1000));
        } finally {
          returned = true;
        }
      }
      for await (const _ of decompress(endless(), compression, mebibyte)) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(returned, true);
    });
  });
}

describe('gzip that is padded by zeros', () => {
  it('is read to its end', async () => {
    const [a, zeros] = [gzipSync('a'), Buffer.alloc(512)];
    for (const chunks of [
      [Buffer.concat([a, zeros]), zeros],
      [a, zeros],
      [a, zeros, a],
    ])
      assert.equal(await read('gzip', chunks), 'a'.repeat(chunks.filter((chunk) => chunk === a).length || 1));
    await assert.rejects(read('gzip', [a, zeros, Buffer.from('a')]), { code: 'DecompressionFailed' });
  });
});

describe('the compression of a source', () => {
  it('is as declared, else as its name says', () => {
    assert.equal(compressionOf({}, { path: 'a/b.csv.gz' }), 'gzip');
    assert.equal(compressionOf({}, { path: 'b.CSV.ZST' }), 'zstd');
    assert.equal(compressionOf({}, { url: 'https://example.com/a.ndjson.gz?x=1' }), 'gzip');
    assert.equal(compressionOf({}, { url: 'https://example.com/a?name=x.gz' }), undefined);
    assert.equal(compressionOf({ compression: 'none' }, { path: 'b.gz' }), undefined);
    assert.equal(compressionOf({ compression: 'zstd' }, { path: 'b.gz' }), 'zstd');
    assert.equal(compressionOf({}, { path: 'gz' }), undefined);
  });
});
