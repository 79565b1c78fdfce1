import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { connectors } from '../../connectors/index.ts';
import { defaultLimits, type FormatManifest, type Limits } from '../../domain/pipelines/manifest.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { definePipeline, postgres, upload } from '../../sdk/index.ts';

interface FormatCase {
  manifest: FormatManifest;
  /** The bytes of records with the text fields `id` and `note`. */
  encode(records: readonly { id: string; note: string }[]): Buffer;
  /** Data after a complete record `a` that breaks off within the next record, and how that is rejected. */
  unterminated: { bytes: Buffer; code: string };
}

/** What every format of lines must do. */
export function formatConformance({ manifest, encode, unterminated }: FormatCase): void {
  const records = ['a', 'b', 'c', 'd', 'e'].map((id) => ({ id, note: `${id} é \u{1F4E6}` }));

  describe(`format: ${manifest.name}`, () => {
    it('reads the same records from chunks of any size into batches of any size, each at its line', async () => {
      const bytes = encode(records);
      for (const chunkBytes of [1, 2, 3, 7, bytes.length]) {
        for (const batchRecords of [1, 2, 100]) {
          const all = await readAll(manifest, bytes, { batchRecords }, chunkBytes);
          assert.deepEqual(
            all.map(({ value }) => ({ ...(value as object) })),
            records,
          );
          for (const { at, firstByte } of all)
            assert.equal(at, bytes.toString('latin1', 0, firstByte).split('\n').length);
        }
      }
    });

    it('rejects a record that is too large at its place, and reads the others', async () => {
      const bytes = encode([records[0]!, { id: 'b', note: 'x'.repeat(200) }, records[2]!]);
      for (const chunkBytes of [1, 50, bytes.length]) {
        const all = await readAll(manifest, bytes, { recordBytes: 100 }, chunkBytes);
        assert.deepEqual(
          all.map(({ code }) => code),
          [undefined, 'RecordTooLarge', undefined],
        );
        const { at, firstByte } = all[1]!;
        assert.equal(at, bytes.toString('latin1', 0, firstByte).split('\n').length);
        assert.equal(at, (all[0]!.at as number) + 1);
      }
    });

    it('rejects a record that breaks off at the end', async () => {
      const all = await readAll(manifest, unterminated.bytes, {}, 3);
      assert.deepEqual(
        all.map(({ code }) => code),
        [undefined, unterminated.code],
      );
      assert.equal(all[1]!.at, (all[0]!.at as number) + 1);
    });

    it('rejects a record that is not valid UTF-8 at its place, and reads the others', async () => {
      const bytes = encode([records[0]!, { id: 'b', note: '@' }, records[2]!]);
      bytes[bytes.indexOf('@')] = 0xff;
      const all = await readAll(manifest, bytes, {}, 5);
      assert.deepEqual(
        all.map(({ code }) => code),
        [undefined, 'InvalidUtf8', undefined],
      );
      assert.equal(all[1]!.at, (all[0]!.at as number) + 1);
    });

    it('takes no option that it does not know', () => {
      const pipelineOf = (format: FormatManifest) =>
        definePipeline({
          id: 'options',
          source: upload(format),
          input: z.strictObject({ id: z.string() }),
          sink: postgres({ table: 'options', key: ['id'] }),
        });
      pipelineOf(manifest);
      assert.throws(() => pipelineOf({ ...manifest, unknown: true } as FormatManifest), {
        code: 'DefinitionInvalid',
      });
    });
  });
}

interface ReadOne {
  at: unknown;
  firstByte: number;
  value?: object;
  code?: string;
}

async function readAll(
  manifest: FormatManifest,
  bytes: Buffer,
  limits: Partial<Limits>,
  chunkBytes: number,
): Promise<ReadOne[]> {
  const objects = createMemoryObjects();
  const scope = { tenant: 'acme', runId: 'formats-1' };
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
  }
  const all: ReadOne[] = [];
  const receiver = createReceiver(objects);
  for await (const batch of receiver.receive(
    scope,
    { format: manifest, limits: { ...defaultLimits, ...limits } },
    chunks(),
  )) {
    const { refused, firstLine, firstByte } = batch;
    if (refused) {
      all.push({ at: firstLine, firstByte, code: refused });
      continue;
    }
    const stored = Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest)));
    await connectors.format(manifest).read(batch, stored, (start, _end, at, record) => {
      const place = { at, firstByte: firstByte + start };
      if (typeof record === 'string') all.push({ ...place, code: record });
      else all.push({ ...place, ...record });
    });
  }
  return all;
}
