import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { survivingBreaks } from '../../../adapters/postgres/connect.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { connectors } from '../../../connectors/index.ts';
import { defaultLimits, type SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { BatchToStore, Ledger, Publication } from '../../../domain/ports/ledger.ts';
import { type Counts, imbalance, zeroCounts } from '../../../domain/runs/run.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

type Row = { id: number; at: string; note: string | null };
const day = (date: string) => `${date}T00:00:00.000Z`;
const row = (id: number, note: string | null = null, at = day('2026-01-15')): Row => ({ id, at, note });

function sinkOf(table: string, options: Record<string, unknown>): SinkManifest {
  return connectors.sink('postgres').describe({ kind: 'postgres', table, ...options }, [
    { name: 'id', type: 'integer', nullable: false },
    { name: 'at', type: 'timestamptz', nullable: false },
    { name: 'note', type: 'text', nullable: true },
  ]);
}

const sinks = {
  appended: sinkOf('appended', { mode: 'append' }),
  replaced: sinkOf('replaced', { mode: 'replace', key: ['id'] }),
  replacedWhole: sinkOf('replaced_whole', { mode: 'replace' }),
  byHash: sinkOf('by_hash', { key: ['id'], partitionBy: { hash: 'id', partitions: 4 } }),
  byMonth: sinkOf('by_month', { key: ['id', 'at'], partitionBy: { range: 'at', every: 'month' } }),
  appendedByDay: sinkOf('appended_by_day', { mode: 'append', partitionBy: { range: 'at', every: 'day' } }),
  replacedByYear: sinkOf('replaced_by_year', {
    mode: 'replace',
    partitionBy: { range: 'at', every: 'year' },
  }),
};

describe('modes of the PostgreSQL sink', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let ledger: Ledger;
  let tenants = 0;
  const newTenant = () => `tenant-${++tenants}`;
  let runs = 0;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
    pool = survivingBreaks(new pg.Pool({ connectionString: postgres.workerUrl, max: 6 }));
    for (let i = 0; i < 2; i++) await apply(...Object.values(sinks));
    ledger = createLedger(tenantsOf(pool));
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  const apply = (...all: SinkManifest[]) =>
    applySinks(
      postgres.migratorUrl,
      all.map((sink) => ({
        id: sink.table.replaceAll('_', '-'),
        version: 1,
        labels: {},
        source: { kind: 'inline' },
        sink,
        limits: defaultLimits,
        deadlineMs: 1000,
      })),
    );

  async function newRun(tenant: string, sink: SinkManifest): Promise<string> {
    const id = `p-0197a3b4-0000-7000-8000-${(++runs).toString(16).padStart(12, '0')}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                requested_by, parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'p', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [id, tenant, { sink }],
    );
    return id;
  }
  const end = (run: string) => admin.query('UPDATE waybill.run SET ended_at = now() WHERE id = $1', [run]);

  function encoded(sink: SinkManifest, rows: Row[]): BatchToStore['rows'] {
    const writer = connectors.sink(sink.kind).encoder(sink).begin(1024);
    for (const [i, one] of rows.entries()) assert.equal(writer.add(i, [one as never]), undefined);
    const { bytes } = writer.finish();
    return {
      emitted: rows.length,
      sizeBytes: bytes.length,
      async *chunks() {
        yield bytes;
      },
    };
  }
  const countsOf = (rows: Row[], rejected = 0): Counts => ({
    ...zeroCounts,
    read: rows.length + rejected,
    rejected,
    passed: rows.length,
    emitted: rows.length,
  });
  const common = (tenant: string, runId: string, sink: SinkManifest) => ({
    tenant,
    runId,
    principal: 'prn_1',
    credential: { tenant, principals: ['prn_1'], issuedAtS: 0, grants: [runId], key: 'key_1' },
    pipeline: 'p',
    version: 1,
    sink,
    audit: (counts: Counts) => ({
      action: 'batch.stored',
      outcome: 'success' as const,
      tenant,
      actor: null,
      runId,
      txn: null,
      detail: { ...counts },
    }),
  });

  const store = (tenant: string, runId: string, sink: SinkManifest, seq: number, rows: Row[]) =>
    ledger.storeBatch({
      ...common(tenant, runId, sink),
      seq,
      rows: encoded(sink, rows),
      counts: countsOf(rows),
      deadLetters: [],
      lettersOf: async () => [],
    });

  function publication(
    tenant: string,
    runId: string,
    sink: SinkManifest,
    batches: Row[][],
    change: Partial<Publication> = {},
  ): Publication {
    return {
      ...common(tenant, runId, sink),
      approval: undefined,
      approvers: [],
      permits: () => true,
      async *batches() {
        for (const [seq, rows] of batches.entries())
          yield { seq, rows: encoded(sink, rows), counts: countsOf(rows), deadLetters: [] };
      },
      ...change,
    };
  }
  async function publish(
    tenant: string,
    sink: SinkManifest,
    batches: Row[][],
    change?: Partial<Publication>,
  ) {
    const run = await newRun(tenant, sink);
    const done = await ledger.publishRun(publication(tenant, run, sink, batches, change));
    await end(run);
    assert.ok(done.outcome === 'published');
    assert.equal(imbalance(done.counts), undefined);
    const { stored, unchanged, deduplicated } = done.counts;
    return { run, stored, unchanged, deduplicated };
  }

  async function values({ table }: SinkManifest, tenant: string): Promise<Row[]> {
    const { rows } = await admin.query(
      `SELECT id, at, note FROM public.${table} WHERE _tenant = $1 ORDER BY id, at, note`,
      [tenant],
    );
    return rows.map((one) => ({ ...one, at: one.at.toISOString() }));
  }

  describe('append', () => {
    const sink = sinks.appended;

    it('keeps every row, and stores a batch once however often it is asked', async () => {
      const tenant = newTenant();
      const [one, other] = [await newRun(tenant, sink), await newRun(tenant, sink)];
      const rows = [row(1, 'a'), row(1, 'a'), row(2)];
      for (let i = 0; i < 2; i++) assert.equal((await store(tenant, one, sink, 0, rows)).stored, 3);
      assert.equal((await store(tenant, other, sink, 0, [row(1, 'a')])).stored, 1);
      assert.deepEqual(await values(sink, tenant), [row(1, 'a'), row(1, 'a'), row(1, 'a'), row(2)]);
    });

    it('publishes a whole run once', async () => {
      const tenant = newTenant();
      const run = await newRun(tenant, sink);
      const of = () => publication(tenant, run, sink, [[row(1)], [row(1), row(2)]]);
      assert.deepEqual((await ledger.previewRun(of())).changes, {
        added: 3,
        changed: 0,
        unchanged: 0,
        deduplicated: 0,
      });
      await Promise.all([ledger.publishRun(of()), ledger.publishRun(of())]);
      assert.deepEqual(await values(sink, tenant), [row(1), row(1), row(2)]);
    });

    it('lets a worker add rows and do nothing else', async () => {
      for (const statement of [
        'SELECT id FROM appended',
        'UPDATE appended SET id = 1',
        'DELETE FROM appended',
      ])
        await assert.rejects(pool.query(statement), { code: '42501' }, statement);
    });
  });

  describe('a sink outside of the database', () => {
    const outside = connectors
      .sink('objectFiles')
      .describe(
        { kind: 'objectFiles', url: 's3://lake/x/', format: 'ndjson', credentials: 'lake' },
        sinks.appended.columns,
      );

    it('is in the ledger once, with counts that add up, and needs no table', async () => {
      await apply(outside);
      const tenant = newTenant();
      const run = await newRun(tenant, outside);
      const of = (change: Partial<Publication> = {}) =>
        publication(tenant, run, outside, [[row(1), row(1)], [], [row(2)]], change);
      const changes = { added: 3, changed: 0, unchanged: 0, deduplicated: 0 };
      assert.deepEqual(await ledger.previewRun(of()), { baseVersion: 0, changes });
      assert.equal((await ledger.publishRun(of({ permits: () => false }))).outcome, 'stale');
      assert.equal(await ledger.isPublished({ tenant, runId: run }), false);
      for (const done of await Promise.all([ledger.publishRun(of()), ledger.publishRun(of())])) {
        assert.ok(done.outcome === 'published');
        assert.deepEqual([done.counts.stored, imbalance(done.counts)], [3, undefined]);
      }
      assert.equal(await ledger.isPublished({ tenant, runId: run }), true);
      assert.equal(await ledger.isPublished({ tenant: newTenant(), runId: run }), false);
      const { rows } = await admin.query(
        'SELECT count(*)::int AS events FROM waybill.audit_event WHERE run_id = $1',
        [run],
      );
      assert.deepEqual(rows, [{ events: 1 }]);
    });
  });

  for (const sink of [sinks.replaced, sinks.replacedWhole, sinks.replacedByYear]) {
    describe(`replace, in ${sink.table}`, () => {
      const isKeyed = sink.key !== undefined;

      it('puts the rows of a run in the place of all rows of the tenant, and of no other', async () => {
        const [tenant, other] = [newTenant(), newTenant()];
        await publish(other, sink, [[row(1, 'other')]]);
        await publish(tenant, sink, [[row(1), row(2, 'old')], [row(3, 'gone')]]);
        const run = await newRun(tenant, sink);
        const next = publication(tenant, run, sink, [[row(1)], [row(2, 'new'), row(4)]]);
        assert.deepEqual((await ledger.previewRun(next)).changes, {
          ...(isKeyed
            ? { added: 1, changed: 1, unchanged: 1, removed: 1 }
            : { added: 3, changed: 0, unchanged: 0, removed: 3 }),
          deduplicated: 0,
        });
        const done = await ledger.publishRun(next);
        assert.ok(done.outcome === 'published');
        assert.equal(done.counts.stored, isKeyed ? 2 : 3);
        assert.deepEqual(await values(sink, tenant), [row(1), row(2, 'new'), row(4)]);
        assert.deepEqual(await values(sink, other), [row(1, 'other')]);
      });

      it('leaves the table empty after a run without rows', async () => {
        const tenant = newTenant();
        await publish(tenant, sink, [[row(1)]]);
        const { run } = await publish(tenant, sink, []);
        assert.deepEqual(await values(sink, tenant), []);
        await publish(tenant, sink, [[row(2)]]);
        assert.deepEqual(
          await ledger.publishRun(publication(tenant, run, sink, [])),
          { outcome: 'published', counts: zeroCounts },
          'a zombie',
        );
        assert.deepEqual(await values(sink, tenant), [row(2)]);
      });

      it('leaves the table as it is where no record of the run fitted', async () => {
        const tenant = newTenant();
        await publish(tenant, sink, [[row(1)]]);
        const run = await newRun(tenant, sink);
        const empty = publication(tenant, run, sink, [[]], { fitsNothing: true });
        assert.deepEqual((await ledger.previewRun(empty)).changes, {
          added: 0,
          changed: 0,
          unchanged: 0,
          deduplicated: 0,
        });
        await ledger.publishRun(empty);
        assert.deepEqual(await values(sink, tenant), [row(1)]);
      });

      it('lets the run win that was accepted later, whichever publishes first', async () => {
        const tenant = newTenant();
        const [early, late] = [await newRun(tenant, sink), await newRun(tenant, sink)];
        await ledger.publishRun(publication(tenant, late, sink, [[row(2, 'late')]]));
        const done = await ledger.publishRun(publication(tenant, early, sink, [[row(1), row(2, 'early')]]));
        assert.ok(done.outcome === 'published');
        assert.deepEqual([done.counts.stored, done.counts.deduplicated], [0, 2]);
        assert.deepEqual(await values(sink, tenant), [row(2, 'late')]);
      });

      it('changes nothing where it fails, is not permitted, or its session ends in the middle', async () => {
        const tenant = newTenant();
        await publish(tenant, sink, [[row(1)]]);
        const run = await newRun(tenant, sink);
        const of = (change: Partial<Publication>) =>
          ledger.publishRun(publication(tenant, run, sink, [[row(2)]], change));
        assert.deepEqual(await of({ permits: () => false }), { outcome: 'stale' });
        const audit = () => {
          throw new Error('after the rows are written');
        };
        await assert.rejects(of({ audit }));
        const killing = {
          ...common(tenant, run, sink),
          async *batches() {
            yield { seq: 0, rows: encoded(sink, [row(2)]), counts: countsOf([row(2)]), deadLetters: [] };
            await admin.query(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'waybill_worker' AND state = 'idle in transaction'
                 AND datname = current_database()`,
            );
          },
        };
        await assert.rejects(of(killing), { code: 'DatabaseUnavailable' });
        assert.deepEqual(await values(sink, tenant), [row(1)]);
        await of({});
        assert.deepEqual(await values(sink, tenant), [row(2)]);
      });

      it('shows a reader the rows of one run, never a mix', async () => {
        const tenant = newTenant();
        const rows = (run: number) => Array.from({ length: 200 }, (_, id) => row(id, `run ${run}`));
        await publish(tenant, sink, [rows(0)]);
        let isDone = false;
        const seen = (async () => {
          while (!isDone) {
            const { rows } = await admin.query(
              `SELECT count(*)::int AS n, count(DISTINCT note)::int AS runs FROM public.${sink.table} WHERE _tenant = $1`,
              [tenant],
            );
            assert.deepEqual(rows, [{ n: 200, runs: 1 }]);
          }
        })();
        for (let run = 1; run <= 8; run++) await publish(tenant, sink, [rows(run)]);
        isDone = true;
        await seen;
      });
    });
  }

  it('replace always ends as the last run says, however its batches were cut', async () => {
    const sink = sinks.replaced;
    const some = fc.array(fc.tuple(fc.integer({ min: 1, max: 6 }), fc.constantFrom('a', 'b', null)), {
      maxLength: 9,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(some, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
        async (all) => {
          const tenant = newTenant();
          for (const batches of all)
            await publish(
              tenant,
              sink,
              batches.map((one) => one.map(([id, note]) => row(id, note))),
            );
          const last = new Map(all.at(-1)!.flat());
          const expected = [...last].sort(([a], [b]) => a - b).map(([id, note]) => row(id, note));
          assert.deepEqual(await values(sink, tenant), expected);
        },
      ),
      { numRuns: 20 },
    );
  });

  describe('partitions', () => {
    const partitions = async (table: string): Promise<{ name: string; bound: string }[]> => {
      const { rows } = await admin.query(
        `SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
         FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
         WHERE h.inhparent = ('public.' || $1)::regclass ORDER BY 1`,
        [table],
      );
      return rows;
    };
    const names = async (table: string) => (await partitions(table)).map(({ name }) => name);

    it('of a hash are there from the beginning, and rows lie in all of them', async () => {
      const tenant = newTenant();
      const run = await newRun(tenant, sinks.byHash);
      assert.deepEqual(await names('by_hash'), ['by_hash_h0', 'by_hash_h1', 'by_hash_h2', 'by_hash_h3']);
      const rows = Array.from({ length: 50 }, (_, id) => row(id));
      assert.equal((await store(tenant, run, sinks.byHash, 0, rows)).stored, 50);
      const { rows: used } = await admin.query('SELECT DISTINCT tableoid FROM by_hash WHERE _tenant = $1', [
        tenant,
      ]);
      assert.equal(used.length, 4);
    });

    it('of a range begin with this one and the next, in UTC', async () => {
      const now = new Date();
      const first = (months: number) =>
        new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months))
          .toISOString()
          .slice(0, 10)
          .replaceAll('-', '');
      const found = await names('by_month');
      assert.ok(
        [0, 1].every((months) => found.includes(`by_month_${first(months)}`)),
        found.join(),
      );
    });

    it('of a range are made before rows are stored, by several at once', async () => {
      const sink = sinks.byMonth;
      const rows = [
        row(1, null, day('2020-02-29')),
        row(1, null, '2020-02-29T23:59:59.999Z'),
        row(1, null, day('2020-03-01')),
        row(2, 'first', day('0001-01-01')),
        row(2, 'last', '9999-12-31T23:59:59.999Z'),
      ];
      const all = Array.from({ length: 4 }, newTenant);
      await Promise.all(
        all.map(async (tenant) => {
          const run = await newRun(tenant, sink);
          assert.equal((await store(tenant, run, sink, 0, rows)).stored, 5);
          assert.equal((await store(tenant, run, sink, 1, rows)).deduplicated, 5);
        }),
      );
      for (const tenant of all) assert.equal((await values(sink, tenant)).length, 5);
      const made = new Map((await partitions('by_month')).map(({ name, bound }) => [name, bound]));
      assert.equal(
        made.get('by_month_20200201'),
        `FOR VALUES FROM ('2020-02-01 00:00:00+00') TO ('2020-03-01 00:00:00+00')`,
      );
      for (const name of ['by_month_20200301', 'by_month_00010101', 'by_month_99991201'])
        assert.ok(made.has(name), name);
    });

    it('take rows that are appended, and rows that replace others', async () => {
      const tenant = newTenant();
      const run = await newRun(tenant, sinks.appendedByDay);
      const rows = [row(1, null, day('2021-05-05')), row(1, null, day('2021-05-06'))];
      await store(tenant, run, sinks.appendedByDay, 0, rows);
      assert.deepEqual(await values(sinks.appendedByDay, tenant), rows);
      await publish(tenant, sinks.replacedByYear, [rows]);
      assert.deepEqual(await values(sinks.replacedByYear, tenant), rows);
    });

    it('can be reached through their table alone, and only the tenant’s rows', async () => {
      const [tenant, other] = [newTenant(), newTenant()];
      for (const one of [tenant, other])
        await store(one, await newRun(one, sinks.byMonth), sinks.byMonth, 0, [row(1, one)]);
      const client = await pool.connect();
      try {
        await client.query(`BEGIN; SET LOCAL waybill.tenant = '${tenant}'`);
        const { rows } = await client.query('SELECT note FROM by_month');
        assert.deepEqual(rows, [{ note: tenant }]);
        await client.query('ROLLBACK');
        for (const name of await names('by_month'))
          await assert.rejects(client.query(`SELECT FROM ${name}`), { code: '42501' }, name);
      } finally {
        client.release();
      }
      const { rows } = await admin.query(
        `SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
         WHERE NOT c.relrowsecurity AND c.relkind = 'r'`,
      );
      assert.deepEqual(rows, []);
    });

    it('are made by workers only of tables that are split by time, and not without bound', async () => {
      const ask = (table: string, dates: string) =>
        pool.query(`SELECT waybill.ensure_partitions('${table}', ${dates})`);
      await assert.rejects(ask('appended', `ARRAY[now()::timestamp]`), { code: '42P01' });
      await assert.rejects(ask('by_hash', `ARRAY[now()::timestamp]`), { code: '42P01' });
      const days = `ARRAY(SELECT generate_series('1990-01-01'::timestamp, '2001-01-01', '1 day'))`;
      await assert.rejects(ask('appended_by_day', days), { code: '23514' });
      await assert.rejects(pool.query(`INSERT INTO waybill.sink_partitioning VALUES ('appended', 'day')`), {
        code: '42501',
      });
    });

    it('stay as they are declared, and the table is widened', async () => {
      const wider = {
        ...sinks.byMonth,
        columns: [...sinks.byMonth.columns, { name: 'more', type: 'text' as const, nullable: true }],
      };
      await apply(wider);
      const tenant = newTenant();
      await store(tenant, await newRun(tenant, wider), wider, 0, [row(1, 'a', day('2019-01-01'))]);
      for (const [sink, detail] of [
        [{ ...sinks.byHash, partitionBy: undefined }, /it is partitioned by HASH \(id\)/],
        [{ ...sinks.byHash, partitionBy: { hash: 'id', partitions: 5 } }, /it has 4 partitions, not 5/],
        [
          { ...sinks.replaced, partitionBy: { hash: 'id', partitions: 5 } },
          /it is not partitioned, not by HASH \(id\)/,
        ],
        [
          { ...sinks.byMonth, partitionBy: { hash: 'id', partitions: 5 } },
          /partitioned by RANGE \(at\), not by HASH/,
        ],
      ] as const)
        await assert.rejects(apply(sink as unknown as SinkManifest), { code: 'SinkIncompatible', detail });
    });
  });
});
