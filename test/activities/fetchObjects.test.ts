import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Dependencies } from '../../activities/dependencies.ts';
import { fetchObjects } from '../../activities/fetchObjects.ts';
import { csv } from '../../connectors/formats/csv/index.ts';
import { defaultLimits } from '../../domain/pipelines/manifest.ts';
import type { ListedObject, OpenOptions } from '../../domain/ports/sources.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { grantOfRun } from '../support/keys.ts';
import { keptBatches } from './keptBatches.ts';

const run = {
  ...{ tenant: 'acme', runId: 'lake-1', source: { kind: 'objectStore', url: 's3://lake/in/' } },
} as unknown as RunFacts;

/** Four objects of CSV, one of them empty but for its header and one compressed, and what a run puts down of them. */
async function lake(cursor?: 'key') {
  const contents: Record<string, string> = {
    's3://lake/in/a': `id\n${[1, 2, 3, 4, 5].join('\n')}\n`,
    's3://lake/in/b': 'id\n',
    's3://lake/in/c': 'id\n6\n7\n8',
    's3://lake/in/d.gz': 'id\n9\n10\n11\n',
  };
  const listed: ListedObject[] = Object.keys(contents).map((url) => ({
    url,
    version: `"${url}"`,
    sizeBytes: 1,
  }));
  const objects = createMemoryObjects();
  const list = await objects.put(run, Buffer.from(JSON.stringify(listed)));
  const kept = keptBatches();
  const { batches } = kept;
  const opened: [string | undefined, number | undefined][] = [];
  let sealed = 0;
  const deps = {
    grant: () => ({ claims: grantOfRun, key: 'k' }),
    decision: () => undefined,
    recheck: async () => {},
    definitions: {
      require: () => ({ manifest: { source: { cursor }, limits: { ...defaultLimits, batchRecords: 2 } } }),
    },
    objects,
    receiver: createReceiver(objects),
    sources: {
      open: async (_: object, { object, fromByte = 0 }: OpenOptions) => {
        opened.push([object?.url, fromByte]);
        const text = Buffer.from(contents[object!.url]!);
        const bytes = (object!.url.endsWith('.gz') ? gzipSync(text) : text).subarray(fromByte);
        return {
          version: object!.version,
          stream: (async function* () {
            yield bytes;
          })(),
        };
      },
    },
    batches: {
      ...kept,
      seal: async () => void sealed++,
    },
  } as unknown as Dependencies;
  const fetch = (attempt: number, appends = Number.POSITIVE_INFINITY) => {
    kept.appendsLeft = appends;
    const window = { kind: 'objects', list, objects: listed.length } as const;
    return new MockActivityEnvironment({ attempt }).run(() => fetchObjects(deps, run, csv(), window));
  };
  return { contents, batches, opened, fetch, sealed: () => sealed };
}

describe('a source of many objects', () => {
  it('is read object by object: batches count through the run, bytes and lines in their object', async () => {
    const { batches, fetch, sealed } = await lake();
    await fetch(1);
    assert.deepEqual(
      batches.map(({ seq, source, firstRecord, firstLine, records, header }) => [
        ...[seq, source?.at(-1), firstRecord, firstLine, records, header?.join()],
      ]),
      [
        [0, 'a', 0, 2, 2, 'id'],
        [1, 'a', 2, 4, 2, 'id'],
        [2, 'a', 4, 6, 1, 'id'],
        [3, 'c', 5, 2, 2, 'id'],
        [4, 'c', 7, 4, 1, 'id'],
        [5, 'z', 8, 2, 2, 'id'],
        [6, 'z', 10, 4, 1, 'id'],
      ],
    );
    assert.deepEqual(
      batches.map(({ sourceVersion }) => sourceVersion?.at(-2)),
      ['a', 'a', 'a', 'c', 'c', undefined, undefined],
    );
    assert.equal(sealed(), 1);
  });

  it('is read on behind the last batch, wherever an attempt was killed, and gives the same batches', async () => {
    const whole = await lake();
    await whole.fetch(1);
    for (let appends = 0; appends < 7; appends++) {
      const { batches, fetch, opened } = await lake();
      await assert.rejects(fetch(1, appends), /killed/);
      opened.length = 0;
      await fetch(2);
      assert.deepEqual(batches, whole.batches);
      assert.equal(
        opened[0]![0],
        appends < 4 ? 's3://lake/in/a' : appends < 6 ? 's3://lake/in/c' : 's3://lake/in/d.gz',
      );
      // A reset begins again, and compares.
      await fetch(1);
      assert.deepEqual(batches, whole.batches);
    }
  });

  it('is empty where no object has a record, unless it is read for what is new', async () => {
    for (const cursor of [undefined, 'key'] as const) {
      const { contents, fetch, sealed } = await lake(cursor);
      for (const url of Object.keys(contents)) contents[url] = '';
      if (cursor) await fetch(1);
      else await assert.rejects(fetch(1), { code: 'SourceEmpty' });
      assert.equal(sealed(), cursor ? 1 : 0);
    }
  });
});
