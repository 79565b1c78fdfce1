import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { countRun } from '../../../adapters/postgres/ledger/runTotals.ts';
import { lockOf } from '../../../adapters/postgres/ledger/storeTurn.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { lanesOf, slotCount, slotOf } from '../../../domain/connectors/lanes.ts';
import type { Manifest } from '../../../domain/pipelines/manifest.ts';
import { type Counts, imbalance } from '../../../domain/runs/run.ts';
import { peopleRuns } from '../../support/peopleRuns.ts';
import { people, things } from '../../support/sinkManifests.ts';
import { slottedBatch } from '../../support/slottedRows.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';
import { until } from '../../support/until.ts';

type Row = [id: number, name: string];

describe('lanes', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 20 });
    await applySinks(postgres.migratorUrl, [{ ...things, sink: people } as Manifest]);
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  let tenant: string;
  let tenants = 0;
  const freshTenant = () => `tenant-${++tenants}`;
  beforeEach(() => {
    tenant = freshTenant();
  });

  const { begin, end } = peopleRuns(() => admin, people);
  const newRun = (of = tenant) => begin(of);

  const ledgerOf = (lanes: number) => createLedger(tenantsOf(pool), { lanes });
  const rowsOf = (count: number, name: string, from = 0): Row[] =>
    Array.from({ length: count }, (_, i) => [from + i, name]);
  const landed = ({ stored, unchanged, deduplicated }: Counts) => [stored, unchanged, deduplicated];
  async function table(of = tenant): Promise<unknown[]> {
    const { rows } = await admin.query(
      `SELECT id, rtrim(name, '.') AS name, _run AS run, _position AS position FROM public.people WHERE _tenant = $1 ORDER BY id`,
      [of],
    );
    return rows;
  }
  async function slotsOf({ runId }: { runId: string }): Promise<number[]> {
    const { rows } = await admin.query(
      'SELECT slot FROM waybill.ledger_slot WHERE run_id = $1 ORDER BY slot',
      [runId],
    );
    return rows.map(({ slot }) => slot);
  }
  async function entriesOf({ runId }: { runId: string }): Promise<Record<string, unknown>> {
    const { rows } = await admin.query(
      `SELECT (SELECT count(*) FROM waybill.ledger WHERE run_id = $1)::int AS batches,
              (SELECT count(*) FROM waybill.audit_event WHERE run_id = $1 AND action = 'batch.stored')::int AS events,
              (SELECT count(*) FROM waybill.dead_letter WHERE run_id = $1)::int AS letters`,
      [runId],
    );
    return rows[0];
  }
  /** Holds the locks that a lane takes, until the returned function is called. */
  async function hold(...locks: string[]): Promise<() => Promise<void>> {
    const client = await admin.connect();
    for (const lock of locks) await client.query('SELECT pg_advisory_lock($1)', [lock]);
    return async () => {
      await client.query('SELECT pg_advisory_unlock_all()');
      client.release();
    };
  }
  const slotLock = (slot: number) => lockOf(tenant, `people slot ${slot}`);
  const letter = {
    ...{ position: 9, line: 10, byteOffset: 90, byteLength: 9, stage: 'validate' as const },
    ...{ code: 'SchemaMismatch' as const, path: 'id', message: 'no' },
    object: { digest: 'f'.repeat(64), offset: 12 },
  };

  it('put a key into the same slot for ever, and cover all slots', () => {
    assert.deepEqual(['', 'a', 'order-1', 'order-2', '42', 'é', 'a\0b'].map(slotOf), [8, 4, 9, 3, 7, 3, 1]);
    for (let count = 1; count <= slotCount; count++) {
      const lanes = lanesOf(count);
      assert.equal(lanes.length, count);
      assert.deepEqual(
        lanes.flat(),
        Array.from({ length: slotCount }, (_, i) => i),
      );
    }
    const sizes = new Array<number>(slotCount).fill(0);
    for (let id = 0; id < 16_000; id++) sizes[slotOf(`order-${String(id).padStart(8, '0')}`)]!++;
    assert.ok(Math.min(...sizes) > 800 && Math.max(...sizes) < 1200, sizes.join());
  });

  it('store each row once, and the batch with what belongs to it once', async () => {
    const run = await newRun();
    const batch = slottedBatch(run, 0, [...rowsOf(500, 'a'), ...rowsOf(10, 'b')], { deadLetters: [letter] });
    const counts = await ledgerOf(4).storeBatch(batch);
    assert.deepEqual(landed(counts), [500, 0, 10]);
    assert.equal(imbalance(counts), undefined);
    assert.deepEqual(await ledgerOf(3).storeBatch(batch), counts);
    assert.deepEqual(await entriesOf(run), { batches: 1, events: 1, letters: 1 });
    assert.equal((await table()).length, 500);
    await end(run);
    const later = await newRun();
    assert.deepEqual(
      landed(await ledgerOf(2).storeBatch(slottedBatch(later, 0, rowsOf(500, 'b')))),
      [490, 10, 0],
    );
  });

  it('store what one lane stores, whatever the number of lanes of each attempt', async () => {
    const ids = fc.integer({ min: 0, max: 40 });
    const names = fc.constantFrom('a', 'b');
    const batches = fc.array(fc.array(fc.tuple(ids, names), { minLength: 24, maxLength: 30 }), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(batches, { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 3, maxLength: 3 }),
        async (inputs, lanes) => {
          const [plain, split] = [freshTenant(), freshTenant()];
          for (const input of inputs) {
            const [one, many] = [await newRun(plain), await newRun(split)];
            for (const [seq, rows] of input.entries()) {
              const { ofSlots: _, ...whole } = slottedBatch(one, seq, rows).rows;
              const expected = await ledgerOf(1).storeBatch({ ...slottedBatch(one, seq, rows), rows: whole });
              const got = await ledgerOf(lanes[seq % 3]!).storeBatch(slottedBatch(many, seq, rows));
              assert.deepEqual(got, expected);
            }
            await Promise.all([end(one), end(many)]);
          }
          const withoutRun = (rows: unknown[]) => rows.map((row) => ({ ...(row as object), run: '' }));
          assert.deepEqual(withoutRun(await table(split)), withoutRun(await table(plain)));
        },
      ),
      { numRuns: 10 },
    );
  });

  it('tell new rows from known ones, of an earlier run and of this one, in one batch', async () => {
    const earlier = await newRun();
    await ledgerOf(1).storeBatch(slottedBatch(earlier, 0, rowsOf(60, 'a')));
    await end(earlier);
    const run = await newRun();
    const first: Row[] = [...rowsOf(900, 'new', 100), ...rowsOf(10, 'a'), ...rowsOf(20, 'b', 10)];
    assert.deepEqual(landed(await ledgerOf(1).storeBatch(slottedBatch(run, 0, first))), [920, 10, 0]);
    const second: Row[] = [...rowsOf(900, 'new', 1_000), ...rowsOf(5, 'c', 100), [1_000, 'd'], [0, 'a']];
    assert.deepEqual(landed(await ledgerOf(3).storeBatch(slottedBatch(run, 1, second))), [900, 1, 6]);
    const found = (await table()) as { id: number; name: string; run: string }[];
    assert.equal(found.length, 60 + 900 + 900);
    const at = (id: number) => found.find((row) => row.id === id)!;
    assert.deepEqual(
      [0, 10, 100, 105, 1_000].map((id) => at(id).name),
      ['a', 'b', 'c', 'new', 'd'],
    );
    assert.deepEqual(
      [0, 10].map((id) => at(id).run),
      [earlier.runId, run.runId],
    );
  });

  it('write over several connections at once', async () => {
    const release = await hold(slotLock(15));
    const run = await newRun();
    const stored = ledgerOf(4).storeBatch(slottedBatch(run, 0, rowsOf(500, 'a')));
    await until('three lanes', async () => (await slotsOf(run)).length === 12);
    assert.deepEqual(await entriesOf(run), { batches: 0, events: 0, letters: 0 });
    await release();
    assert.deepEqual(landed(await stored), [500, 0, 0]);
  });

  it('complete a batch after its worker was killed between two lanes, with several attempts at once', async () => {
    const release = await hold(slotLock(9));
    const run = await newRun();
    const rows: Row[] = [...rowsOf(500, 'a'), ...rowsOf(20, 'b')];
    const modules = new URL('../../../', import.meta.url).href;
    const killed = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const [{ default: pg }, { createLedger }, { tenantsOf }, { slottedBatch }] = await Promise.all([import('pg'),
           import('${modules}adapters/postgres/ledger/ledger.ts'), import('${modules}adapters/postgres/tenants.ts'),
           import('${modules}test/support/slottedRows.ts')]);
         const pool = new pg.Pool({ connectionString: process.env.DATABASE });
         await createLedger(tenantsOf(pool), { lanes: 2 })
           .storeBatch(slottedBatch(${JSON.stringify(run)}, 0, ${JSON.stringify(rows)}));`,
      ],
      { env: { ...process.env, DATABASE: postgres.workerUrl }, stdio: 'inherit' },
    );
    await until('one lane', async () => (await slotsOf(run)).length === 8);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    const batch = () => slottedBatch(run, 0, rows, { deadLetters: [letter] });
    // Lanes of other numbers overlap with the one that is stored: slots 5 to 9, and 8 to 15.
    const attempts = [3, 2, 16].map((lanes) => ledgerOf(lanes).storeBatch(batch()));
    await until('more slots', async () => (await slotsOf(run)).length > 8);
    await release();
    const counts = await Promise.all(attempts);
    assert.deepEqual(counts.map(landed), [
      [500, 0, 20],
      [500, 0, 20],
      [500, 0, 20],
    ]);
    assert.deepEqual(await entriesOf(run), { batches: 1, events: 1, letters: 1 });
    const found = (await table()) as { id: number; name: string }[];
    assert.deepEqual(
      found.map(({ id, name }) => [id, name]),
      [...rowsOf(20, 'b'), ...rowsOf(480, 'a', 20)],
    );
  });

  it('change nothing by an attempt that comes late, after the next batch', async () => {
    const run = await newRun();
    const first = slottedBatch(run, 0, rowsOf(300, 'old'));
    await ledgerOf(2).storeBatch(first);
    await ledgerOf(2).storeBatch(slottedBatch(run, 1, rowsOf(300, 'new')));
    const before = await table();
    assert.deepEqual(landed(await ledgerOf(5).storeBatch(first)), [300, 0, 0]);
    assert.deepEqual(await table(), before);
  });

  it('count the lanes that are stored where a run ends between them, and store no more', async () => {
    const release = await hold(slotLock(0));
    const run = await newRun();
    const rows = rowsOf(500, 'a');
    await admin.query(
      `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts)
       VALUES ($1, $2, 0, 'transform', 'd', 1, $3)`,
      [tenant, run.runId, { passed: 500, emitted: 500 }],
    );
    const rejected = assert.rejects(ledgerOf(2).storeBatch(slottedBatch(run, 0, rows)), { code: 'RunEnded' });
    await until('one lane', async () => (await slotsOf(run)).length === 8);
    await end(run);
    await release();
    await rejected;
    const { counts } = await countRun(admin, run.runId);
    const there = (await table()).length;
    assert.ok(there > 0 && there < 500);
    assert.deepEqual([counts.emitted, ...landed(counts)], [there, there, 0, 0]);
  });

  it('store nothing of a lane under a right that is revoked', async () => {
    const run = await newRun();
    await admin.query(
      `INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ($1, 'grant', $1, $2)`,
      [run.runId, tenant],
    );
    await assert.rejects(ledgerOf(2).storeBatch(slottedBatch(run, 0, rowsOf(300, 'a'))), {
      code: 'GrantRevoked',
    });
    assert.deepEqual([await table(), await slotsOf(run)], [[], []]);
  });

  it('wait for a publication, which locks all of them', async () => {
    const release = await hold(lockOf(tenant, 'people'));
    const run = await newRun();
    const stored = ledgerOf(4).storeBatch(slottedBatch(run, 0, rowsOf(300, 'a')));
    await until('four lanes that wait', async () => {
      const { rows } = await admin.query(
        `SELECT count(*)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
      );
      return rows[0].n === 4;
    });
    assert.deepEqual(await slotsOf(run), []);
    await release();
    assert.deepEqual(landed(await stored), [300, 0, 0]);
  });
});
