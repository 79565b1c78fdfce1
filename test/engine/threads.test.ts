import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { slotOf } from '../../domain/connectors/lanes.ts';
import type { BatchTask, DefinitionRef, StageResult } from '../../domain/ports/compute.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import { Semaphore } from '../../domain/semaphore.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { loadModule } from '../../engine/project/loadModule.ts';
import { type ComputePool, createComputePool } from '../../engine/threads/pool.ts';

describe('threads', () => {
  let folder: string;
  let objects: ObjectStore;
  let pool: ComputePool;
  before(async () => {
    // Below the repository, so that `waybill` and `zod` are found.
    folder = await mkdtemp(join(resolve(import.meta.dirname, '..', '..'), '.test-threads-'));
    objects = createMemoryObjects();
    pool = createComputePool({ objects, taskMs: 20_000 });
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

  const scope = { tenant: 'acme', runId: 'run' };
  /** A task over these lines, which become a batch. */
  async function taskOf(definition: DefinitionRef, lines = ['{"id":1}']): Promise<BatchTask> {
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    const place = { seq: 0, sizeBytes: bytes.length, firstByte: 0, firstRecord: 0, firstLine: 1 };
    const batch = { ...place, records: lines.length, digest: await objects.put(scope, bytes) };
    return { definition, scope, batch, parameters: {} };
  }
  const transform = async (definition: DefinitionRef, signal?: AbortSignal) =>
    (await pool.transform(await taskOf(definition), signal)).transformed;
  const outputOf = ({ digest, sizeBytes, counts, form }: StageResult) => ({
    digest,
    form,
    sizeBytes,
    emitted: counts.emitted!,
  });
  async function textOf(rows: EncodedRows): Promise<string> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of rows.chunks()) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  it('validate, transform and encode, with the same result whether the step before ran here or elsewhere', async () => {
    const task = await taskOf(await define('plain', 'return thing;'), ['{"id":1}', '{"id":"x"}', '{"id":1}']);
    const elsewhere = createComputePool({ objects });
    const valid = await pool.validate({ ...task, ahead: true });
    assert.deepEqual(await elsewhere.validate({ ...task, ahead: false }), valid);
    assert.deepEqual(valid.counts, { read: 3, rejected: 1 });
    assert.deepEqual(
      valid.rejections.map((r) => [r.code, r.byteOffset]),
      [['SchemaMismatch', 9]],
    );
    const both = await pool.transform(task);
    assert.deepEqual(both.validated, valid);
    assert.deepEqual(await elsewhere.transform(task), both);
    assert.deepEqual(both.transformed.counts, { passed: 2, filtered: 0, rejected: 0, emitted: 2 });
    const output = outputOf(both.transformed);
    assert.equal(await textOf(await pool.rows(task, output)), '1\t2\n');
    await pool.forget(task);
    assert.equal(await textOf(await pool.rows(task, output)), '1\t2\n');
    await elsewhere.close();
  });

  it('share large results by files, and compute again what is damaged', async () => {
    const definition = await define('large', `return { id: thing.id };`);
    const task = await taskOf(
      definition,
      Array.from({ length: 20_000 }, (_, id) => `{"id":${id}}`),
    );
    const cacheFolder = join(folder, 'cache');
    const [one, other] = [0, 1].map(() => createComputePool({ objects, cacheFolder }));
    await one!.validate({ ...task, ahead: true });
    const { transformed } = await other!.transform(task);
    const whole = await textOf(await other!.rows(task, outputOf(transformed)));
    assert.equal(whole.split('\n').length, 20_001);
    const [rows] = (await readdir(cacheFolder)).filter((name) => name.endsWith('.rows'));
    await writeFile(join(cacheFolder, rows!), whole.replace('5', '6'));
    await assert.rejects(textOf(await other!.rows(task, outputOf(transformed))), {
      code: 'StorageUnavailable',
    });
    assert.equal(await textOf(await other!.rows(task, outputOf(transformed))), whole);
    const unread = await other!.rows(task, outputOf(transformed));
    await one!.forget(task);
    await assert.rejects(textOf(unread), { code: 'StorageUnavailable' });
    await Promise.all([one!.close(), other!.close()]);
  });

  it('keep the bytes of rejected records, unless they are damaged', async () => {
    const cacheFolder = join(folder, 'rejected');
    const one = createComputePool({ objects, cacheFolder });
    const lines = Array.from({ length: 20_000 }, (_, id) => `{"id":${id % 5000 === 7 ? '"é"' : id}}`);
    const task = await taskOf(await define('rejecting', 'return thing;'), lines);
    assert.equal(await one.rejectedBytes(task), undefined);
    await one.transform(task);
    const kept = await one.rejectedBytes(task);
    assert.deepEqual([...kept!.keys()], [7, 5_007, 10_007, 15_007]);
    assert.ok([...kept!.values()].every((bytes) => Buffer.from(bytes).toString() === '{"id":"é"}'));
    const [entry] = (await readdir(cacheFolder)).filter((name) => name.endsWith('.json'));
    const text = await readFile(join(cacheFolder, entry!), 'utf8');
    const base64 = Buffer.from('{"id":"é"}').toString('base64');
    await writeFile(join(cacheFolder, entry!), text.replace(base64, base64.toUpperCase()));
    assert.equal(await one.rejectedBytes(task), undefined);
    await one.close();
  });

  it('put large results into slots by key, each of which is compared when it is read', async () => {
    const definition = await define('slots', `return { id: thing.id % 15000 };`);
    const lines = Array.from({ length: 20_000 }, (_, id) => `{"id":${id}}`);
    const task = await taskOf(definition, lines);
    const { transformed } = await pool.transform(task);
    const rows = await pool.rows(task, outputOf(transformed));
    const slots = Array.from({ length: 16 }, (_, slot) => rows.ofSlots!([slot]));
    const texts = await Promise.all(slots.map(textOf));
    assert.equal(texts.join(''), await textOf(rows));
    assert.equal(
      slots.reduce((sum, { emitted }) => sum + emitted, 0),
      20_000,
    );
    const ids = texts.map((text) =>
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('\t')),
    );
    assert.equal(ids.flat().length, 15_000);
    for (const [slot, found] of ids.entries()) {
      assert.ok(found.every(([id]) => slotOf(id!) === slot));
      const positions = found.map(([, position]) => Number(position));
      assert.deepEqual(
        positions,
        positions.toSorted((a, b) => a - b),
      );
    }
  });

  it('notice a transform that does not give the same rows again', async () => {
    const definition = await define('random', 'return { id: Math.floor(Math.random() * 2 ** 31) };');
    const task = await taskOf(definition);
    const { transformed } = await pool.transform(task);
    await pool.forget(task);
    await assert.rejects(pool.rows(task, outputOf(transformed)), { code: 'StageMismatch' });
  });

  it('encode rows again that an older version of Waybill had encoded in another form', async () => {
    const task = await taskOf(await define('older', 'return thing;'), ['{"id":1}', '{"id":2}']);
    const output = outputOf((await pool.transform(task)).transformed);
    const older = { ...output, digest: 'f'.repeat(64), sizeBytes: 1 };
    for (const form of [undefined, 0]) {
      const rows = await pool.rows(task, { ...older, form });
      assert.equal(rows.emitted, 2);
      assert.equal(await textOf(rows), '1\t0\n2\t1\n');
    }
    await assert.rejects(pool.rows(task, older), { code: 'StageMismatch' });
    await assert.rejects(pool.rows(task, { ...older, form: 0, emitted: 3 }), { code: 'StageMismatch' });
  });

  it('validate although the transform fails', async () => {
    for (const [name, code] of [
      ['throws', `throw new Error('x');`],
      ['exits', 'return process.exit(1);'],
    ] as const) {
      const task = await taskOf(await define(name, code));
      assert.deepEqual((await pool.validate({ ...task, ahead: true })).counts, { read: 1, rejected: 0 });
    }
  });

  it('refuse bytes that are not those of the batch', async () => {
    const task = await taskOf(await define('other', 'return thing;'));
    const store = { ...objects, get: async () => Buffer.from('{"id":2}\n') };
    const pool = createComputePool({ objects: store });
    await assert.rejects(pool.validate({ ...task, ahead: false }), { code: 'BatchCorrupt' });
    await pool.close();
  });

  it('carry an error with its code and its place', async () => {
    const definition = await define('throwing', `throw new Error('broken');`);
    await assert.rejects(transform(definition), {
      code: 'TransformFailed',
      publicDetail: 'The transform threw Error: broken (position 0, line 1).',
    });
  });

  it('lose only the task when they run out of memory or end themselves', async () => {
    const plain = await define('after', 'return thing;');
    for (const [name, code] of [
      ['hungry', 'const all = []; for (;;) all.push(new Array(100_000).fill(thing.id + all.length));'],
      ['leaving', 'return process.exit(1);'],
    ] as const) {
      const definition = await define(name, code);
      await assert.rejects(transform(definition), {
        code: 'TransformFailed',
      });
      const { counts } = await transform(plain);
      assert.equal(counts.emitted, 1);
    }
  });

  it('are ended when a task does not end', async () => {
    const impatient = createComputePool({ objects, taskMs: 3_000 });
    const definition = await define('endless', 'for (;;);');
    await assert.rejects(impatient.transform(await taskOf(definition)), {
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
    const running = transform(definition, controller.signal);
    const queued = transform(definition, controller.signal);
    for await (const { filename } of changes) if (filename === 'started') break;
    controller.abort(new Error('cancelled'));
    await assert.rejects(running, { message: 'cancelled' });
    await assert.rejects(queued, { message: 'cancelled' });
  });

  it('never run another version of a module than was asked for', async () => {
    const first = await define('changing', 'return thing;');
    assert.equal((await transform(first)).counts.emitted, 1);
    await write('changing', 'return [thing, { id: 2 }];');
    // The digest of what is there now: a thread that still has the first version must not be used for it.
    const asked = { ...first, digest: 'f'.repeat(64) };
    await assert.rejects(transform(asked), {
      code: 'DefinitionUnavailable',
    });
    await pool.forget(await taskOf(first));
    await assert.rejects(transform(first), {
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
