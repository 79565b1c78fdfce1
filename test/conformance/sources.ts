import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Sources } from '../../domain/ports/sources.ts';
import type { AcceptedSource } from '../../domain/sources/source.ts';

interface SourceCase {
  sources: Sources;
  source: AcceptedSource;
  /** Replaces what the source holds, with a new version. */
  write(text: string): Promise<void>;
  /** Makes the source fail so that a retry may help. */
  fail(): Promise<void>;
}

/** What every source that Waybill reads itself must do. `open` is called for each test. */
export function sourceConformance(name: string, open: () => Promise<SourceCase>): void {
  const read = async ({ sources, source }: SourceCase, options = {}) => {
    const { stream, version } = await sources.open(source, options);
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return { text: Buffer.concat(chunks).toString(), version };
  };

  describe(`source: ${name}`, () => {
    it('reads on from any byte of the same version', async () => {
      const one = await open();
      await one.write('a\n1\n');
      const { text, version } = await read(one);
      assert.equal(text, 'a\n1\n');
      for (let fromByte = 0; fromByte < text.length; fromByte++)
        assert.deepEqual(await read(one, { fromByte, version }), { text: text.slice(fromByte), version });
    });

    it('has changed where its version is another than the one that was read', async () => {
      const one = await open();
      await one.write('before');
      const { version } = await read(one);
      await one.write('after, and longer');
      await assert.rejects(read(one, { fromByte: 2, version }), { code: 'SourceChanged' });
    });

    it('is unavailable where a retry may help', async () => {
      const one = await open();
      await one.fail();
      await assert.rejects(read(one), { code: 'SourceUnavailable' });
    });
  });
}
