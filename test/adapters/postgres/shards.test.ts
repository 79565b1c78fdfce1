import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { applySinks, planSinks } from '../../../adapters/postgres/applySinks.ts';
import { survivingBreaks } from '../../../adapters/postgres/connect.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { lockOf } from '../../../adapters/postgres/ledger/storeTurn.ts';
import { openShards, type Shards } from '../../../adapters/postgres/shards/openShards.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { shardsOf, slotOf } from '../../../domain/connectors/lanes.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Manifest, SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import { type Counts, imbalance } from '../../../domain/runs/run.ts';
import { peopleRuns } from '../../support/peopleRuns.ts';
import { startShardsForTest, type TestShards } from '../../support/shards.ts';
import { people, things } from '../../support/sinkManifests.ts';
import { slottedBatch, slottedRows } from '../../support/slottedRows.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';
import { until } from '../../support/until.ts';

type Row = [id: number, name: string];

const names = ['east', 'west'];
const split: SinkManifest = { ...people, table: 'split_people', shards: names };
const manifestOf = (sink: SinkManifest) => ({ ...things, sink }) as Manifest;

describe('shards', () => {
  let postgres: TestPostgres;
  let databases: TestShards;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let shards: Shards;
  let tenant: string;
  let tenants = 0;

  before(async () => {
    postgres = await startPostgresForTest();
    databases = await startShardsForTest(postgres, names);
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
    pool = survivingBreaks(new pg.Pool({ connectionString: postgres.workerUrl, max: 20 }));
    shards = openShards(databases.credentials);
    await applySinks(postgres.migratorUrl, [manifestOf(people), manifestOf(split)], {
      credentials: databases.credentials,
    });
  });
  after(async () => {
    await shards?.end();
    await pool?.end();
    await admin?.end();
    await databases?.stop();
    await postgres?.stop();
  });
  beforeEach(() => {
    tenant = freshTenant();
  });

  const freshTenant = () => `tenant-${++tenants}`;
  const { begin, end } = peopleRuns(() => admin, split);
  const newRun = (of = tenant) => begin(of);

  const ledgerOf = (through = shards) => createLedger(tenantsOf(pool), { shards: through });
  const batchOf = (
    run: { tenant: string; runId: string },
    seq: number,
    rows: readonly Row[],
    more: Partial<BatchToStore> = {},
  ) => slottedBatch(run, seq, rows, { sink: split, rows: slottedRows(rows, seq * 10_000, split), ...more });
  const rowsOf = (count: number, name: string, from = 0): Row[] =>
    Array.from({ length: count }, (_, i) => [from + i, name]);
  const landed = ({ stored, unchanged, deduplicated }: Counts) => [stored, unchanged, deduplicated];

  interface Found {
    id: number;
    name: string;
    run: string;
    version: string;
  }
  const select = `SELECT id, rtrim(name, '.') AS name, _run AS run, xmin::text AS version FROM`;
  async function partOf(shard: string, of = tenant): Promise<Found[]> {
    const { rows } = await databases
      .superuser(shard)
      .query(`${select} split_people WHERE _tenant = $1`, [of]);
    return rows;
  }
  async function union(of = tenant): Promise<Found[]> {
    const parts = await Promise.all(names.map((name) => partOf(name, of)));
    return parts.flat().sort((a, b) => a.id - b.id);
  }
  const values = async (of = tenant) => (await union(of)).map(({ id, name }) => [id, name]);
  /** How many of its slots the main database has. */
  async function countSlots({ runId }: { runId: string }): Promise<number> {
    const slots = 'SELECT count(*)::int AS slots FROM waybill.ledger_slot WHERE run_id = $1';
    return (await admin.query(slots, [runId])).rows[0].slots;
  }
  async function entriesOf({ runId }: { runId: string }): Promise<unknown> {
    const { rows } = await admin.query(
      `SELECT (SELECT count(*) FROM waybill.ledger WHERE run_id = $1)::int AS batches,
              (SELECT count(*) FROM waybill.audit_event WHERE run_id = $1 AND action = 'batch.stored')::int AS events`,
      [runId],
    );
    return rows[0];
  }
  /** Holds what the lane of a slot of a shard waits for, until the returned function is called. */
  async function holdSlot(shard: string, slot: number): Promise<() => Promise<void>> {
    const client = await databases.superuser(shard).connect();
    await client.query('SELECT pg_advisory_lock($1)', [lockOf(tenant, `shard split_people slot ${slot}`)]);
    return async () => {
      await client.query('SELECT pg_advisory_unlock_all()');
      client.release();
    };
  }

  it('split rows by the slots of their keys, and hold together what one database would', async () => {
    const run = await newRun();
    const rows: Row[] = [...rowsOf(500, 'a'), ...rowsOf(10, 'b')];
    const counts = await ledgerOf().storeBatch(batchOf(run, 0, rows));
    assert.deepEqual(landed(counts), [500, 0, 10]);
    assert.equal(imbalance(counts), undefined);
    for (const { name, slots } of shardsOf(names)) {
      const part = await partOf(name);
      assert.ok(part.length > 200, `${part.length}`);
      assert.deepEqual(
        part.filter(({ id }) => !slots.includes(slotOf(String(id)))),
        [],
      );
    }
    assert.deepEqual(await values(), [...rowsOf(10, 'b'), ...rowsOf(490, 'a', 10)]);
    assert.deepEqual(await entriesOf(run), { batches: 1, events: 1 });
    const { rows: mains } = await admin.query(`SELECT to_regclass('public.split_people') AS table`);
    assert.equal(mains[0].table, null);
  });

  it('store what one database stores, whatever the size of the batches and the number of lanes', async () => {
    const row = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.constantFrom('a', 'b'));
    const batches = fc.array(fc.array(row, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(batches, { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 4, maxLength: 4 }),
        async (inputs, lanes) => {
          const [plain, sharded] = [freshTenant(), freshTenant()];
          for (const input of inputs) {
            const [one, many] = [await newRun(plain), await newRun(sharded)];
            for (const [seq, rows] of input.entries()) {
              const sink = { ...split, lanes: lanes[seq]! };
              const { ofSlots: _, ...whole } = slottedRows(rows, seq * 10_000, split);
              const expected = await ledgerOf().storeBatch(
                slottedBatch(one, seq, rows, { sink: people, rows: whole }),
              );
              assert.deepEqual(await ledgerOf().storeBatch(batchOf(many, seq, rows, { sink })), expected);
            }
            await Promise.all([end(one), end(many)]);
          }
          const { rows } = await admin.query(`${select} public.people WHERE _tenant = $1 ORDER BY id`, [
            plain,
          ]);
          assert.deepEqual(
            await values(sharded),
            rows.map(({ id, name }) => [id, name]),
          );
        },
      ),
      { numRuns: 10 },
    );
  });

  it('complete a batch after its worker was killed between two shards, with several attempts at once', async () => {
    const release = await holdSlot('west', 15);
    const run = await newRun();
    const rows: Row[] = [...rowsOf(300, 'a'), ...rowsOf(20, 'b')];
    const modules = new URL('../../../', import.meta.url).href;
    const killed = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const [{ default: pg }, { createLedger }, { openShards }, { tenantsOf }, { slottedBatch, slottedRows }] = await Promise.all([
           import('pg'), import('${modules}adapters/postgres/ledger/ledger.ts'),
           import('${modules}adapters/postgres/shards/openShards.ts'), import('${modules}adapters/postgres/tenants.ts'),
           import('${modules}test/support/slottedRows.ts')]);
         const pool = new pg.Pool({ connectionString: process.env.DATABASE });
         const urls = JSON.parse(process.env.SHARDS);
         const sink = ${JSON.stringify(split)};
         const rows = ${JSON.stringify(rows)};
         await createLedger(tenantsOf(pool), { shards: openShards((name) => ({ current: async () => urls[name] })) })
           .storeBatch(slottedBatch(${JSON.stringify(run)}, 0, rows, { sink, rows: slottedRows(rows, 0, sink) }));`,
      ],
      {
        env: { ...process.env, DATABASE: postgres.workerUrl, SHARDS: JSON.stringify(databases.workerUrls) },
        stdio: 'inherit',
      },
    );
    await until('one shard', async () => (await countSlots(run)) === 8);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    const before = await partOf('east');
    const attempts = [1, 5, 16].map((lanes) =>
      ledgerOf().storeBatch(batchOf(run, 0, rows, { sink: { ...split, lanes } })),
    );
    await release();
    for (const counts of await Promise.all(attempts)) assert.deepEqual(landed(counts), [300, 0, 20]);
    assert.deepEqual(await entriesOf(run), { batches: 1, events: 1 });
    assert.deepEqual(await values(), [...rowsOf(20, 'b'), ...rowsOf(280, 'a', 20)]);
    assert.deepEqual(await partOf('east'), before);
  });

  it('record what a shard has committed where the main database has not', async () => {
    const run = await newRun();
    const rows = rowsOf(300, 'a');
    const cut: Shards = {
      ...shards,
      use: (shard, work) =>
        shards.use(shard, (connection) =>
          work({
            async transaction(as, inside) {
              await connection.transaction(as, inside);
              throw new WaybillError('DatabaseUnavailable', { detail: 'cut after the commit' });
            },
          }),
        ),
    };
    await assert.rejects(ledgerOf(cut).storeBatch(batchOf(run, 0, rows)), { code: 'DatabaseUnavailable' });
    assert.equal(await countSlots(run), 0);
    const before = await union();
    assert.equal(before.length, 300);
    const sink = { ...split, lanes: 6 };
    assert.deepEqual(landed(await ledgerOf().storeBatch(batchOf(run, 0, rows, { sink }))), [300, 0, 0]);
    assert.deepEqual(await union(), before);
    assert.deepEqual(await entriesOf(run), { batches: 1, events: 1 });
  });

  it('commit nothing in a shard once the main database has let go of the run', async () => {
    const release = await holdSlot('west', 8);
    const run = await newRun();
    const stored = assert.rejects(ledgerOf().storeBatch(batchOf(run, 0, rowsOf(300, 'a'))), {
      code: 'DatabaseUnavailable',
    });
    await until('one shard', async () => (await countSlots(run)) === 8);
    const { rowCount } = await admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
       WHERE locktype = 'advisory' AND usename = 'waybill_worker' AND state = 'idle in transaction'
         AND (classid::bigint << 32) + objid::bigint = $1::bigint`,
      [lockOf(tenant, 'split_people slot 8')],
    );
    assert.equal(rowCount, 1);
    await end(run);
    await release();
    await stored;
    assert.deepEqual(await partOf('west'), []);
    assert.equal((await partOf('east')).length, (await union()).length);
  });

  it('wait for a shard that is away, name it, and write the others once', async () => {
    const run = await newRun();
    const batch = () => batchOf(run, 0, rowsOf(300, 'a'));
    await databases.refuseConnections('west');
    try {
      for (let attempt = 0; attempt < 2; attempt++)
        await assert.rejects(ledgerOf().storeBatch(batch()), (error: WaybillError) => {
          assert.equal(error.code, 'SinkUnavailable');
          assert.match(error.message, /the database of shard “west”\.$/);
          assert.ok(error.retryable);
          return true;
        });
    } finally {
      await databases.acceptConnections('west');
    }
    assert.equal(await countSlots(run), 8);
    const before = await partOf('east');
    assert.deepEqual(landed(await ledgerOf().storeBatch(batch())), [300, 0, 0]);
    assert.deepEqual(await partOf('east'), before);
    assert.equal((await union()).length, 300);
  });

  it('say nothing of where a database is, or of its password', async () => {
    const run = await newRun();
    const elsewhere = (url: string) => openShards(() => ({ current: async () => url }));
    for (const url of ['postgresql://secret-role:secret-word@127.0.0.1:1/secret-name', 'secret'])
      await assert.rejects(
        ledgerOf(elsewhere(url)).storeBatch(batchOf(run, 0, rowsOf(30, 'a'))),
        (error: WaybillError) => {
          assert.equal(error.code, 'SinkUnavailable');
          assert.doesNotMatch(error.message, /secret|127/);
          return true;
        },
      );
    await assert.rejects(ledgerOf(openShards(undefined)).storeBatch(batchOf(run, 0, rowsOf(30, 'a'))), {
      code: 'SinkUnavailable',
    });
  });

  it('read a credential again when it has changed', async () => {
    const urls = { ...databases.workerUrls };
    const rotating = openShards((name) => ({ current: async () => urls[name]! }));
    const run = await newRun();
    try {
      await ledgerOf(rotating).storeBatch(batchOf(run, 0, rowsOf(30, 'a')));
      const good = urls.west!;
      urls.west = good.replace(/:[^:@/]+@/, ':wrong@');
      await assert.rejects(ledgerOf(rotating).storeBatch(batchOf(run, 1, rowsOf(30, 'b'))), {
        code: 'SinkUnavailable',
      });
      urls.west = good;
      assert.deepEqual(
        landed(await ledgerOf(rotating).storeBatch(batchOf(run, 1, rowsOf(30, 'b')))),
        [0, 0, 30],
      );
    } finally {
      await rotating.end();
    }
    assert.deepEqual(await values(), rowsOf(30, 'b'));
  });

  it('change nothing by an attempt that comes late, and keep no slots of batches that are recorded', async () => {
    const run = await newRun();
    const first = () => batchOf(run, 0, rowsOf(300, 'old'));
    await ledgerOf().storeBatch(first());
    await ledgerOf().storeBatch(batchOf(run, 1, rowsOf(300, 'new')));
    const before = await union();
    assert.deepEqual(landed(await ledgerOf().storeBatch(first())), [300, 0, 0]);
    assert.deepEqual(await union(), before);
    await end(run);
    const later = await newRun();
    assert.deepEqual(landed(await ledgerOf().storeBatch(batchOf(later, 0, rowsOf(300, 'new')))), [0, 300, 0]);
    for (const name of names) {
      const { rows } = await databases
        .superuser(name)
        .query('SELECT DISTINCT run_id, seq FROM waybill.shard_slot WHERE tenant = $1', [tenant]);
      assert.deepEqual(rows, [{ run_id: later.runId, seq: 0 }]);
    }
  });

  it('store nothing under a right that is revoked, or of a run that has ended', async () => {
    const run = await newRun();
    await admin.query(
      `INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ($1, 'grant', $1, $2)`,
      [run.runId, tenant],
    );
    await assert.rejects(ledgerOf().storeBatch(batchOf(run, 0, rowsOf(300, 'a'))), { code: 'GrantRevoked' });
    const ended = await newRun();
    await end(ended);
    await assert.rejects(ledgerOf().storeBatch(batchOf(ended, 0, rowsOf(300, 'a'))), { code: 'RunEnded' });
    assert.deepEqual([await union(), await countSlots(run)], [[], 0]);
  });

  it('show each role the rows of its tenant alone', async () => {
    const run = await newRun();
    await ledgerOf().storeBatch(batchOf(run, 0, rowsOf(40, 'a')));
    for (const name of names) {
      const worker = new pg.Client({ connectionString: databases.workerUrls[name]! });
      await worker.connect();
      const seen = async (of: string) => {
        await worker.query(`SELECT set_config('waybill.tenant', $1, false)`, [of]);
        const counts = await worker.query(
          `SELECT (SELECT count(*) FROM split_people)::int AS rows, (SELECT count(*) FROM waybill.shard_slot)::int AS slots`,
        );
        return counts.rows[0];
      };
      assert.deepEqual(await seen(tenant), { rows: (await partOf(name)).length, slots: 8 });
      for (const other of ['', 'globex']) assert.deepEqual(await seen(other), { rows: 0, slots: 0 });
      await assert.rejects(worker.query(`UPDATE waybill.shard_table SET place = 1`), { code: '42501' });
      await assert.rejects(worker.query('DELETE FROM split_people'), { code: '42501' });
      await worker.end();
      const reader = await databases.superuser(name).connect();
      await reader.query(`CREATE ROLE ${name}_reader; GRANT SELECT ON split_people TO ${name}_reader`);
      await reader.query(`SET ROLE ${name}_reader`);
      assert.equal((await reader.query('SELECT FROM split_people')).rowCount, 0);
      await reader.query(`RESET ROLE; DROP OWNED BY ${name}_reader; DROP ROLE ${name}_reader`);
      reader.release();
    }
  });

  it('leave out the records that one of them rejects', async () => {
    const run = await newRun();
    const check = `CHECK (id <> 7 OR _tenant <> '${tenant}')`;
    for (const name of names)
      await databases.superuser(name).query(`ALTER TABLE split_people ADD CONSTRAINT no_seven ${check}`);
    try {
      const batch = (more: Partial<BatchToStore> = {}) => batchOf(run, 0, rowsOf(300, 'a'), more);
      await assert.rejects(ledgerOf().storeBatch(batch()), { code: 'SinkRejected' });
      const left: number[] = [];
      const lettersOf: BatchToStore['lettersOf'] = async (rejected) => {
        left.push(...rejected.map(({ position }) => position));
        return [];
      };
      const counts = await ledgerOf().storeBatch(batch({ apart: true, lettersOf }));
      assert.deepEqual([counts.rejected, ...landed(counts), left], [1, 299, 0, 0, [7]]);
      const several = { ...batch().counts, passed: 150 };
      await assert.rejects(
        ledgerOf().storeBatch(batch({ seq: 1, apart: true, counts: several })),
        (error: WaybillError) => error.code === 'SinkRejected' && /several shards/.test(error.message),
      );
    } finally {
      for (const name of names)
        await databases.superuser(name).query('ALTER TABLE split_people DROP CONSTRAINT no_seven');
    }
  });

  describe('when a project is applied', () => {
    const apply = (sink: SinkManifest, credentials = databases.credentials) =>
      applySinks(postgres.migratorUrl, [manifestOf(sink)], { credentials });
    const rejects = (sink: SinkManifest, why: RegExp, credentials = databases.credentials) =>
      assert.rejects(apply(sink, credentials), (error: WaybillError) => {
        assert.equal(error.code, 'SinkIncompatible');
        assert.match(error.detail!, why);
        return true;
      });

    it('say what is made in each, and make it once', async () => {
      const sink = { ...split, table: 'planned' };
      const plan = async () =>
        (await planSinks(postgres.migratorUrl, [manifestOf(sink)], databases.credentials))[0]!.changes.map(
          ({ message }) => message,
        );
      assert.deepEqual(await plan(), [
        'shard east: table planned is created',
        'shard west: table planned is created',
      ]);
      await apply(sink);
      assert.deepEqual(await plan(), []);
      await apply(sink);
      const wider = { ...sink, columns: [...sink.columns, { name: 'note', type: 'text', nullable: true }] };
      await apply(wider as SinkManifest);
      for (const name of names) await databases.superuser(name).query('SELECT note FROM planned');
    });

    it('complete a project that was applied to some of them', async () => {
      const sink = { ...split, table: 'half_applied' };
      await databases.refuseConnections('west');
      try {
        await assert.rejects(apply(sink), { code: 'SinkUnavailable' });
      } finally {
        await databases.acceptConnections('west');
      }
      await apply(sink);
      await apply(sink);
    });

    it('are neither more, nor fewer, nor others, nor in another order than before', async () => {
      for (const changed of [
        ['west', 'east'],
        ['east'],
        ['east', 'west', 'north'],
        ['north', 'south'],
        undefined,
      ])
        await rejects({ ...split, shards: changed }, /split over the shards east, west, in this order/);
      await rejects({ ...people, shards: names }, /in Waybill’s own database/);
    });

    it('are the databases that they were, and not one of them twice', async () => {
      const swapped = (name: string) =>
        databases.credentials(name.replace(/east|west/, (one) => (one === 'east' ? 'west' : 'east')));
      await rejects(split, /its database is shard west, number 2 of 2/, swapped);
      await rejects({ ...split, table: 'twice' }, /its database is shard east, number 1 of 2/, (name) =>
        databases.credentials(name.replace('west', 'east')),
      );
      const run = await newRun();
      const mixed = openShards(swapped);
      await assert.rejects(ledgerOf(mixed).storeBatch(batchOf(run, 0, rowsOf(30, 'a'))), {
        code: 'SinkIncompatible',
      });
      await mixed.end();
      assert.deepEqual(await union(), []);
    });

    it('may be the main database, and partitioned by time', async () => {
      const sink: SinkManifest = {
        ...split,
        table: 'events',
        key: ['id', 'at'],
        columns: [...people.columns, { name: 'at', type: 'timestamptz', nullable: false }],
        partitionBy: { range: 'at', every: 'month' },
      };
      const credentials = (name: string) => ({
        current: async () =>
          name === 'east.migrator' ? postgres.migratorUrl : databases.credentials(name).current(),
      });
      await apply(sink, credentials);
      await apply(sink, credentials);
      const made = `SELECT FROM pg_inherits WHERE inhparent = 'public.events'::regclass`;
      assert.equal((await admin.query(made)).rowCount, 2);
      assert.equal((await databases.superuser('west').query(made)).rowCount, 2);
    });
  });
});
