import assert from 'node:assert/strict';
import { mkdtemp, rm, watch, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { DefinitionRef } from '../../domain/ports/compute.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import { loadModule } from '../../engine/project/loadModule.ts';
import { type ComputePool, createComputePool } from '../../engine/threads/pool.ts';

describe('threads', () => {
  let folder: string;
  let pool: ComputePool;
  before(async () => {
    // Below the repository, so that `waybill` and `zod` are found.
    folder = await mkdtemp(join(resolve(import.meta.dirname, '..', '..'), '.test-threads-'));
    pool = createComputePool({ taskMs: 20_000 });
  });
  after(async () => {
    await pool?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function write(name: string, transform: string): Promise<string> {
    const path = join(folder, `${name}.ts`);
    await writeFile(
      path,
      `import { definePipeline, ndjson, postgres, upload } from 'waybill';
       import { z } from 'zod';
       const Thing = z.strictObject({ id: z.int() });
       export default definePipeline({ id: '${name}', source: upload(ndjson()), input: Thing, output: Thing,
         transform: (thing) => { ${transform} }, sink: postgres({ table: 'things', key: ['id'] }) });`,
    );
    return path;
  }

  async function define(name: string, transform: string): Promise<DefinitionRef> {
    const modulePath = await write(name, transform);
    return { modulePath, digest: (await loadModule(modulePath)).digest };
  }

  const bytes = Buffer.from('{"id":1}\n{"id":"x"}\n{"id":1}\n');
  const batch: Batch = {
    seq: 0,
    digest: '',
    sizeBytes: 0,
    firstByte: 0,
    firstRecord: 0,
    firstLine: 1,
    records: 3,
  };
  const line = () => Buffer.from('[0,1,0,8,{"id":1}]\n');

  it('validate, transform and encode, and leave the caller’s bytes alone', async () => {
    const definition = await define('plain', 'return thing;');
    const valid = await pool.validate({ definition, batch, bytes });
    assert.deepEqual(valid.counts, { read: 3, rejected: 1 });
    assert.deepEqual(
      valid.rejections.map((r) => [r.code, r.byteOffset]),
      [['SchemaMismatch', 9]],
    );
    const rows = await pool.transform({ definition, parameters: {}, bytes: valid.bytes });
    assert.deepEqual(rows.counts, { passed: 2, filtered: 0, rejected: 0, emitted: 2 });
    const encoded = await pool.encode({ definition, bytes: rows.bytes });
    assert.deepEqual(encoded, { count: 1, deduplicated: 1, columns: ['{"1"}'], positions: '{2}' });
    assert.ok(bytes.length > 0 && valid.bytes.length > 0 && rows.bytes.length > 0);
  });

  it('carry an error with its code and its place', async () => {
    const definition = await define('throwing', `throw new Error('broken');`);
    await assert.rejects(pool.transform({ definition, parameters: {}, bytes: line() }), {
      code: 'TransformFailed',
      publicDetail: 'The transform threw Error: broken (position 0, line 1).',
    });
  });

  it('lose only the task when they run out of memory or end themselves', async () => {
    const plain = await define('after', 'return thing;');
    for (const [name, transform] of [
      ['hungry', 'const all = []; for (;;) all.push(new Array(100_000).fill(thing.id + all.length));'],
      ['leaving', 'return process.exit(1);'],
    ] as const) {
      const definition = await define(name, transform);
      await assert.rejects(pool.transform({ definition, parameters: {}, bytes: line() }), {
        code: 'TransformFailed',
      });
      const { counts } = await pool.transform({ definition: plain, parameters: {}, bytes: line() });
      assert.equal(counts.emitted, 1);
    }
  });

  it('are ended when a task does not end', async () => {
    const impatient = createComputePool({ taskMs: 3_000 });
    const definition = await define('endless', 'for (;;);');
    await assert.rejects(impatient.transform({ definition, parameters: {}, bytes: line() }), {
      code: 'TransformTimedOut',
      publicDetail: 'Step transform stopped after 3 s at position 0, line 1.',
    });
    await impatient.close();
  });

  it('are ended when the caller gives up', async () => {
    const marker = join(folder, 'started');
    const definition = await define(
      'waiting',
      `process.getBuiltinModule('node:fs').writeFileSync(${JSON.stringify(marker)}, ''); for (;;);`,
    );
    const controller = new AbortController();
    const changes = watch(folder);
    const running = pool.transform({ definition, parameters: {}, bytes: line() }, controller.signal);
    const queued = pool.transform({ definition, parameters: {}, bytes: line() }, controller.signal);
    for await (const { filename } of changes) if (filename === 'started') break;
    controller.abort(new Error('cancelled'));
    await assert.rejects(running, { message: 'cancelled' });
    await assert.rejects(queued, { message: 'cancelled' });
  });

  it('never run another version of a module than was asked for', async () => {
    const first = await define('changing', 'return thing;');
    assert.equal(
      (await pool.transform({ definition: first, parameters: {}, bytes: line() })).counts.emitted,
      1,
    );
    await write('changing', 'return [thing, { id: 2 }];');
    // The digest of what is there now: a thread that still has the first version must not be used for it.
    const asked = { ...first, digest: 'f'.repeat(64) };
    await assert.rejects(pool.transform({ definition: asked, parameters: {}, bytes: line() }), {
      code: 'DefinitionUnavailable',
    });
    await assert.rejects(pool.transform({ definition: first, parameters: {}, bytes: line() }), {
      code: 'DefinitionUnavailable',
    });
  });
});

describe('turns', () => {
  it('come in order, and no more at a time than allowed', async () => {
    const turns = new Semaphore({ running: 2, waiting: 2 });
    const order: string[] = [];
    const give = await Promise.all([turns.take(), turns.take()]);
    const late = ['third', 'fourth'].map(async (name) => {
      const turn = await turns.take();
      order.push(name);
      return turn;
    });
    await assert.rejects(turns.take(), { code: 'Internal' });
    assert.deepEqual(order, []);
    give[0]!();
    give[1]!();
    for (const turn of await Promise.all(late)) turn();
    assert.deepEqual(order, ['third', 'fourth']);
    (await turns.take())();
  });

  it('are not given to those who gave up', async () => {
    const turns = new Semaphore({ running: 1, waiting: 5 });
    const give = await turns.take();
    const gone = turns.take(AbortSignal.abort(new Error('gone')));
    await assert.rejects(gone, { message: 'gone' });
    const controller = new AbortController();
    const waiting = turns.take(controller.signal);
    controller.abort(new Error('gone too'));
    await assert.rejects(waiting, { message: 'gone too' });
    give();
    (await turns.take())();
  });
});
