import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import pg from 'pg';
import type { Dependencies } from '../../activities/dependencies.ts';
import { digestOf } from '../../activities/run.ts';
import { storeStep } from '../../activities/store.ts';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { createLedger } from '../../adapters/postgres/ledger/ledger.ts';
import { openShards, type Shards } from '../../adapters/postgres/shards/openShards.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { addCounts, type Counts, imbalance, zeroCounts } from '../../domain/runs/run.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { loadModule } from '../../engine/project/loadModule.ts';
import { type ComputePool, createComputePool } from '../../engine/threads/pool.ts';
import { grantOfRun } from '../support/keys.ts';
import { startShardsForTest, type TestShards } from '../support/shards.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';

/** A record of two rows: `id`, and `-id` with the note in a constraint’s way. */
const code = `
  import { definePipeline, ndjson, postgres, upload } from 'waybill';
  import { z } from 'zod';
  const Note = z.strictObject({ id: z.int(), note: z.string() });
  export default definePipeline({
    id: 'notes', source: upload(ndjson()), input: Note, output: Note,
    transform: ({ id, note }) => (id < 100 ? [{ id, note }] : [{ id, note: '' }, { id: -id, note }]),
    sink: postgres({ table: 'notes', key: ['id'] }),
  });`;

describe('store: rows that only the database rejects', () => {
  let folder: string;
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let compute: ComputePool;
  type Definition = Awaited<ReturnType<typeof loadModule>> & { modulePath: string };
  let definition: Definition;
  /** The same, with its rows in two databases. */
  let split: Definition;
  let databases: TestShards;
  let shards: Shards;
  const objects = createMemoryObjects();
  before(async () => {
    folder = await mkdtemp(join(resolve(import.meta.dirname, '..', '..'), '.test-store-'));
    const load = async (name: string, text: string): Promise<Definition> => {
      const modulePath = join(folder, name);
      await writeFile(modulePath, text);
      return { ...(await loadModule(modulePath)), modulePath };
    };
    definition = await load('notes.ts', code);
    split = await load(
      'split.ts',
      code.replace("'notes', key: ['id']", "'split_notes', key: ['id'], shards: ['east', 'west']"),
    );
    postgres = await startPostgresForTest();
    databases = await startShardsForTest(postgres, ['east', 'west']);
    shards = openShards(databases.credentials);
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 1 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 8 });
    await applySinks(postgres.migratorUrl, [definition.pipeline.manifest, split.pipeline.manifest], {
      credentials: databases.credentials,
    });
    await admin.query(`
      ALTER TABLE notes ADD CONSTRAINT not_bad CHECK (note NOT LIKE 'bad%');
      CREATE INDEX by_note ON notes (note)`);
    compute = createComputePool({ objects });
  });
  after(async () => {
    await compute?.close();
    await shards?.end();
    await databases?.stop();
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  let runs = 0;
  /** Stores these records as the only batch of a run, twice, and says what came of it. */
  async function store(
    notes: readonly { id: number; note: string }[],
    { pipeline, digest, modulePath } = definition,
  ) {
    runs++;
    const runId = `notes-0197a3b4-0000-7000-8000-${runs.toString(16).padStart(12, '0')}`;
    const tenant = `tenant-${runs}`;
    const source = { kind: 'upload' } as const;
    const tctx = {
      ...grantOfRun.tctx,
      ...{ tenant, workflowId: runId, pipeline: 'notes', definitionDigest: digest },
      parametersDigest: digestOf(canonicalJson({})),
      sourceDigest: digestOf(describeSource({ runId, source })),
    };
    const claims = { ...grantOfRun, tctx };
    const requestedBy = {
      id: claims.sub,
      issuer: claims.req.iss,
      subject: claims.req.sub,
      kind: claims.req.kind,
    };
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                requested_by, parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'notes', 1, 'd', $3, 'running', $4, '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId, tenant, pipeline.manifest, claims.sub],
    );
    const scope = { tenant, runId };
    const lines = notes.map((note) => `${JSON.stringify(note)}\n`);
    const bytes = Buffer.from(lines.join(''));
    const batch: Batch = {
      ...{ seq: 0, firstByte: 0, firstRecord: 0, firstLine: 1, records: notes.length },
      sizeBytes: bytes.length,
      digest: await objects.put(scope, bytes),
    };
    const task = {
      definition: { modulePath, digest },
      scope,
      batch,
      parameters: {},
    };
    const { validated, transformed } = await compute.transform(task);
    const run = {
      tenant,
      runId,
      pipeline: 'notes',
      version: 1,
      definitionDigest: digest,
      parameters: {},
      source,
    };
    const loaded = { ...pipeline, digest, modulePath };
    const deps = {
      grant: () => ({ claims, key: 'k' }),
      decision: () => undefined,
      definitions: { require: () => loaded },
      runs: { find: async () => ({ ...run, principal: claims.sub, requestedBy, txn: claims.txn }) },
      stages: {
        findWork: async () => {
          const { rows } = await admin.query('SELECT counts FROM waybill.ledger WHERE run_id = $1', [runId]);
          return {
            batch,
            validated,
            transformed,
            suspended: false,
            ...(rows[0] && { stored: rows[0].counts }),
          };
        },
      },
      objects,
      compute,
      ledger: createLedger(tenantsOf(pool), { lanes: 4, shards }),
    } as unknown as Dependencies;
    const step = () =>
      new MockActivityEnvironment().run(() => storeStep(deps, { seq: 0 })) as Promise<Partial<Counts>>;
    const added = await step();
    // A retry tells the same.
    assert.deepEqual(await step(), added);
    const counts = addCounts(addCounts(addCounts(zeroCounts, validated.counts), transformed.counts), added);
    assert.equal(imbalance(counts), undefined);
    const letters = await admin.query(
      `SELECT line::int, byte_offset::int AS "at", stage, code, path, message, convert_from(raw, 'UTF8') AS raw
       FROM waybill.dead_letter WHERE run_id = $1 ORDER BY position`,
      [runId],
    );
    const ledger = await admin.query(
      'SELECT counts, rejected_by_code AS codes FROM waybill.ledger WHERE run_id = $1',
      [runId],
    );
    assert.deepEqual(ledger.rows[0].counts, counts);
    const { rows: slots } = await admin.query(
      'SELECT count(*)::int AS n FROM waybill.ledger_slot WHERE run_id = $1',
      [runId],
    );
    const { table, shards: names } = pipeline.manifest.sink;
    const parts = await Promise.all(
      (names?.map((name) => databases.superuser(name)) ?? [admin]).map((database) =>
        database.query(`SELECT id FROM ${table} WHERE _tenant = $1`, [tenant]),
      ),
    );
    return {
      counts,
      lines,
      letters: letters.rows,
      codes: ledger.rows[0].codes,
      slots: slots[0].n,
      ids: parts.flatMap(({ rows }) => rows.map(({ id }) => Number(id))).sort((one, other) => one - other),
    };
  }

  it('become dead letters, with place and bytes, and the others are stored', async () => {
    const noise = Array.from({ length: 400 }, () => Math.random().toString(36)).join('');
    const notes = Array.from({ length: 40 }, (_, id) => ({ id, note: 'fine' }));
    notes[7]!.note = 'bad luck';
    notes[8]!.note = 'bad again';
    notes[39]!.note = noise;
    const { counts, lines, letters, codes, ids } = await store(notes);
    assert.deepEqual(codes, { RowRejected: 2, KeyTooLarge: 1 });
    assert.deepEqual(
      ids,
      notes.flatMap(({ id }) => ([7, 8, 39].includes(id) ? [] : [id])),
    );
    assert.deepEqual([counts.passed, counts.rejected, counts.emitted, counts.stored], [37, 3, 37, 37]);
    assert.deepEqual(
      letters.map(({ line, at, stage, code, raw }) => [line, at, stage, code, raw]),
      [7, 8, 39].map((i) => [
        i + 1,
        lines.slice(0, i).join('').length,
        'store',
        i === 39 ? 'KeyTooLarge' : 'RowRejected',
        lines[i]!.trim(),
      ]),
    );
    assert.match(letters[0].message, /SQLSTATE 23514, constraint not_bad\.$/);
    assert.doesNotMatch(letters[0].message, /bad luck/);
  });

  it('leave no row of their record', async () => {
    const { counts, ids } = await store([
      { id: 1, note: 'a' },
      { id: 200, note: 'bad' },
      { id: 300, note: 'b' },
    ]);
    assert.deepEqual(ids, [-300, 1, 300]);
    assert.deepEqual([counts.passed, counts.rejected, counts.emitted], [2, 1, 3]);
  });

  it('are left out by each lane, and a record of several rows is never divided between lanes', async () => {
    const notes = Array.from({ length: 99 }, (_, id) => ({ id, note: `fine, ${'x'.repeat(1_000)}` }));
    for (const id of [3, 40, 41, 97]) notes[id]!.note = 'bad';
    const { counts, letters, slots } = await store(notes);
    assert.equal(slots, 16);
    assert.deepEqual([counts.stored, counts.rejected, counts.emitted], [95, 4, 95]);
    assert.deepEqual(
      letters.map(({ line }) => line),
      [4, 41, 42, 98],
    );
    const divided = await store([...notes, { id: 200, note: 'bad' }]);
    assert.deepEqual([divided.slots, divided.counts.rejected, divided.ids.includes(200)], [0, 5, false]);
  });

  it('are found in a batch that goes by COPY, whatever else is written in the same transaction', async () => {
    const notes = Array.from({ length: 3_000 }, (_, id) => ({
      id: id < 100 ? id : -id,
      note: `fine, ${'x'.repeat(60)}`,
    }));
    notes[2_999]!.note = 'bad';
    const { counts, letters } = await store(notes);
    assert.deepEqual([counts.stored, counts.rejected, letters[0].line], [2_999, 1, 3_000]);
  });

  it('fail the run where they are many: then the table or the pipeline is wrong', async () => {
    const notes = Array.from({ length: 101 }, (_, id) => ({ id: id < 100 ? id : -id, note: 'bad' }));
    await assert.rejects(store(notes), { code: 'SinkRejected' });
    assert.equal((await store(notes.slice(1))).counts.rejected, 100);
  });

  it('are left out in each shard, of batches of any size; several rows of a record are in several', async () => {
    const notes = Array.from({ length: 12 }, (_, i) => ({ id: i < 6 ? i : 100 + i, note: 'fine' }));
    const ids = notes.flatMap(({ id }) => (id < 100 ? [id] : [-id, id]));
    const { counts, ids: stored, slots } = await store(notes, split);
    assert.deepEqual([counts.emitted, counts.stored, slots], [18, 18, 16]);
    assert.deepEqual(
      stored,
      ids.sort((one, other) => one - other),
    );
    for (const name of ['east', 'west'])
      await databases
        .superuser(name)
        .query(`ALTER TABLE split_notes ADD CONSTRAINT not_bad CHECK (note NOT LIKE 'bad%')`);
    const single = [...notes.slice(0, 5), { id: 7, note: 'bad' }];
    const left = await store(single, split);
    assert.deepEqual([left.counts.rejected, left.ids, left.letters[0].line], [1, [0, 1, 2, 3, 4], 6]);
    await assert.rejects(store([...single, { id: 100, note: '' }], split), { code: 'SinkRejected' });
  });
});
