import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Batch } from '../../domain/runs/batch.ts';
import { loadModule } from '../../engine/project/loadModule.ts';
import { type ComputePool, createComputePool } from '../../engine/threads/pool.ts';
import { definitions } from './pipelines.ts';
import { type Api, json, startApi } from './startApi.ts';

/** Version 1 sent kilograms. What some records hold makes the upgrade throw or never end. */
const weights = `
  import { definePipeline, inline, postgres } from 'waybill';
  import { z } from 'zod';
  export default definePipeline({
    id: 'weights', version: 2, source: inline(),
    input: z.strictObject({ id: z.string(), grams: z.int() }),
    sink: postgres({ table: 'weights', key: ['id'] }),
    upgrade: { 1: ({ kilos, ...record }) => {
      if (kilos === 'throw') throw new Error('no such unit');
      while (kilos === 'loop');
      return { ...record, grams: Number(kilos) * 1000 };
    } },
  });`;

const letters = '/v1/dead-letters';

describe('a rejected record of version 1, with a pipeline of version 2', () => {
  let api: Api;
  let folder: string;
  let compute: ComputePool;
  let definition: { modulePath: string; digest: string };
  let serial = 0;

  before(async () => {
    // Below the repository, so that `waybill` and `zod` are found.
    folder = await mkdtemp(join(resolve(import.meta.dirname, '..', '..'), '.test-upgrades-'));
    const modulePath = join(folder, 'weights.ts');
    await writeFile(modulePath, weights);
    const { pipeline, digest } = await loadModule(modulePath);
    definition = { modulePath, digest };
    const loaded = { ...pipeline, ...definition };
    api = await startApi({
      change({ objects }) {
        compute = createComputePool({ objects, taskMs: 5_000 });
        const find = (id: string) => (id === 'weights' ? loaded : definitions.find(id));
        return { compute, definitions: { ...definitions, find } };
      },
    });
  });
  after(async () => {
    await api?.stop();
    await compute?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const as = async (path: string, body: object, method = 'POST') => {
    const response = await api.call(path, {
      as: await api.issuer.token({ sub: 'bob', roles: ['data-steward'] }),
      ...json(body),
      method,
    });
    // biome-ignore lint/suspicious/noExplicitAny: each route has a body of its own.
    return (await response.json()) as any;
  };

  async function reject(kilos: unknown): Promise<string> {
    const sent = await api.call('/v1/pipelines/weights/runs', json({ records: [{ id: 'x', grams: 1 }] }));
    const { id: run } = (await sent.json()) as { id: string };
    const id = `dl_${String(++serial).padStart(22, '0')}`;
    await api.rows(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw)
       VALUES ($1, 'acme', $2, 'weights', 1, 'prn_1', 0, 0, 1, 0, 9, 'validate', 'c', 'kilos', 'm', $3)`,
      [id, run, Buffer.from(JSON.stringify({ id, kilos }))],
    );
    return id;
  }

  const stateOf = async (id: string) => {
    const [row] = await api.rows<{ state: string }>('SELECT state FROM waybill.dead_letter WHERE id = $1', [
      id,
    ]);
    return row!.state;
  };

  /** What the steps of the redrive make of its letters, in the thread of a worker. */
  async function transform(ids: readonly string[]) {
    const { id: runId } = (await as(`${letters}/redrive`, { ids })) as { id: string };
    const [row] = await api.rows<{ digest: string; bytes: Buffer; records: number }>(
      'SELECT digest, bytes, records::integer FROM waybill.batch WHERE run_id = $1',
      [runId],
    );
    const place = { seq: 0, firstByte: 0, firstRecord: 0, firstLine: 1 };
    const batch: Batch = { ...place, ...row!, sizeBytes: row!.bytes.length };
    const task = { definition, scope: { tenant: 'acme', runId }, batch, areLetters: true, parameters: {} };
    const { validated, transformed } = await compute.transform(task);
    const { digest, sizeBytes, counts, form } = transformed;
    const rows = await compute.rows(task, { digest, sizeBytes, form, emitted: counts.emitted ?? 0 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of rows.chunks()) chunks.push(chunk);
    return { validated, transformed, text: Buffer.concat(chunks).toString() };
  }

  it('is brought to it when it is sent again, edited by a rule or not', async () => {
    const [plain, ruled] = [await reject('2'), await reject('much')];
    const request = { ids: [ruled], rule: { set: { kilos: 3 } } };
    const step = await as(`${letters}/repair`, request);
    assert.deepEqual([step.repaired, step.failing], [1, []]);
    const { transformed, text } = await transform([plain, ruled]);
    assert.equal(transformed.counts.passed, 2);
    assert.match(text, new RegExp(`${plain}\t2000`));
    assert.match(text, new RegExp(`${ruled}\t3000`));
  });

  it('is of version 2 once it is edited by hand, so that no upgrade changes it', async () => {
    const id = await reject('2');
    const old = await as(`${letters}/${id}`, { record: { id, kilos: 2 } }, 'PATCH');
    assert.equal(old.code, 'RepairRejected');
    const kept = await as(`${letters}/${id}`, { record: { id, grams: 7 } }, 'PATCH');
    assert.deepEqual([kept.kept, kept.outcome.rows[0].grams], [true, '7']);
    const { text } = await transform([id]);
    assert.match(text, new RegExp(`${id}\t7`));
  });

  it('stays a rejected record where the upgraded one does not fit either', async () => {
    const id = await reject('much');
    const { validated } = await transform([id]);
    assert.deepEqual(
      validated.rejections.map(({ code, path }) => [code, path]),
      [['SchemaMismatch', 'grams']],
    );
  });

  it('fails the step where the upgrade throws or never ends, and others go on', async () => {
    for (const [kilos, code] of [
      ['throw', 'TransformFailed'],
      ['loop', 'TransformTimedOut'],
    ]) {
      const id = await reject(kilos);
      const step = await as(`${letters}/repair`, { ids: [id], rule: { set: { id } } });
      assert.equal(step.code, code);
      assert.equal(await stateOf(id), 'open');
      await assert.rejects(transform([id]), { code });
    }
    const { transformed } = await transform([await reject('1')]);
    assert.equal(transformed.counts.passed, 1);
  });
});
