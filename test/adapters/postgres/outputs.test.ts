import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { z } from 'zod';
import { applySinks, planSinks } from '../../../adapters/postgres/applySinks.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { lockOf } from '../../../adapters/postgres/ledger/storeTurn.ts';
import { findRun } from '../../../adapters/postgres/runs/runs.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { Manifest } from '../../../domain/pipelines/manifest.ts';
import type { AnyPipeline } from '../../../domain/pipelines/pipeline.ts';
import type { BatchToStore, Preview } from '../../../domain/ports/ledger.ts';
import type { EncodedRows } from '../../../domain/ports/sinkRows.ts';
import { addCounts, type Counts, imbalance, zeroCounts } from '../../../domain/runs/run.ts';
import { prepareDefinition } from '../../../engine/records/definition.ts';
import { processBatch } from '../../../engine/records/processBatch.ts';
import { definePipeline, ndjson, postgres, upload } from '../../../sdk/index.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';
import { until } from '../../support/until.ts';

interface Line {
  line: number;
  quantity: number;
}
interface Order {
  order: string;
  note: string;
  lines: Line[];
}

const input = z.strictObject({
  order: z.string(),
  note: z.string(),
  lines: z.array(z.strictObject({ line: z.int(), quantity: z.int() })),
});
const orderRow = z.strictObject({ order: z.string(), note: z.string() });
const lineRow = z.strictObject({ order: z.string(), line: z.int(), quantity: z.int().min(0) });

function rowsOf({ order, note, lines }: Order) {
  return { orders: { order, note }, lines: lines.map((line) => ({ order, ...line })) };
}

const pipeline: AnyPipeline = definePipeline({
  id: 'orders',
  source: upload(ndjson()),
  input,
  outputs: {
    orders: { row: orderRow, sink: postgres({ table: 'orders', key: ['order'] }) },
    lines: { row: lineRow, sink: postgres({ table: 'lines', key: ['order', 'line'] }) },
  },
  transform: rowsOf,
});

const replacing: AnyPipeline = definePipeline({
  id: 'orders',
  source: upload(ndjson()),
  input,
  outputs: {
    orders: { row: orderRow, sink: postgres({ table: 'all_orders', key: ['order'], mode: 'replace' }) },
    lines: { row: lineRow, sink: postgres({ table: 'all_lines', key: ['order', 'line'], mode: 'replace' }) },
  },
  transform: rowsOf,
});

/** What the engine makes of records; the transform rejects those with a negative quantity. */
async function encode(
  of: AnyPipeline,
  seq: number,
  first: number,
  orders: readonly Order[],
): Promise<{ rows: EncodedRows; counts: Counts }> {
  const bytes = Buffer.from(orders.map((order) => `${JSON.stringify(order)}\n`).join(''));
  const batch = {
    ...{ seq, digest: hash('sha256', bytes), sizeBytes: bytes.length, firstByte: 0, firstLine: 1 },
    ...{ firstRecord: first, records: orders.length },
  };
  const { validated, transformed } = await processBatch(prepareDefinition(of), batch, bytes, {
    transform: { parameters: {} },
  });
  const { rows: encoded, counts } = transformed!;
  return {
    counts: addCounts(addCounts(zeroCounts, validated.counts), counts),
    rows: {
      emitted: counts.emitted!,
      sizeBytes: encoded.length,
      async *chunks() {
        // In pieces, of which one ends within the header.
        for (let at = 0; at < encoded.length; at += 7) yield encoded.subarray(at, at + 7);
      },
    },
  };
}

describe('several outputs of one pipeline', () => {
  let server: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let api: pg.Pool;
  before(async () => {
    server = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: server.superuserUrl, max: 4 });
    pool = new pg.Pool({ connectionString: server.workerUrl, max: 8 });
    api = new pg.Pool({ connectionString: server.apiUrl, max: 1 });
    await applySinks(server.migratorUrl, [pipeline.manifest, replacing.manifest]);
    // What only the database rejects.
    await admin.query('ALTER TABLE public.lines ADD CONSTRAINT few CHECK (quantity < 100)');
  });
  after(async () => {
    await pool?.end();
    await api?.end();
    await admin?.end();
    await server?.stop();
  });

  const newTenant = () => `tenant-${uuidv7()}`;

  async function newRun(tenant: string, manifest: Manifest = pipeline.manifest): Promise<string> {
    const runId = `orders-${uuidv7()}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'orders', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId, tenant, manifest],
    );
    return runId;
  }
  const end = (runId: string) =>
    admin.query('UPDATE waybill.run SET ended_at = now() WHERE id = $1', [runId]);

  function batchOf(
    tenant: string,
    runId: string,
    seq: number,
    { rows, counts }: { rows: EncodedRows; counts: Counts },
  ): BatchToStore {
    return {
      ...{ tenant, runId, seq, rows, counts, principal: 'prn_1', pipeline: 'orders', version: 1 },
      credential: { tenant, principals: ['prn_1'], issuedAtS: 0, grants: [runId], key: 'key_1' },
      sink: pipeline.manifest.sink,
      deadLetters: [],
      lettersOf: async (rejected) =>
        rejected.map(({ position, reason }) => ({
          ...{ ...reason, position, line: position + 1, byteOffset: 0, byteLength: 1 },
          ...{ stage: 'store' as const, object: { digest: 'f'.repeat(64), offset: 0 } },
        })) as never,
      audit: (all) => ({
        ...{ action: 'batch.stored', outcome: 'success', tenant, actor: null, runId, txn: null },
        detail: { seq, ...all },
      }),
    };
  }

  /** As the step `store` does it, again and again until it succeeds; the first attempts end after so many statements. */
  async function store(
    tenant: string,
    runId: string,
    seq: number,
    first: number,
    orders: readonly Order[],
    crashes: readonly number[] = [],
  ): Promise<Counts> {
    const encoded = () => encode(pipeline, seq, first, orders);
    for (const statements of [...crashes, Number.POSITIVE_INFINITY]) {
      const ledger = createLedger(crashing(tenantsOf(pool), statements));
      try {
        return await ledger.storeBatch(batchOf(tenant, runId, seq, await encoded())).catch(async (error) => {
          if ((error as { code?: string }).code !== 'SinkRejected') throw error;
          return ledger.storeBatch({ ...batchOf(tenant, runId, seq, await encoded()), apart: true });
        });
      } catch (error) {
        if (!/killed/.test(`${error} ${(error as Error).cause}`)) throw error;
      }
    }
    throw new Error('unreachable');
  }

  const ordersIn = async (tenant: string, table = 'orders') =>
    (
      await admin.query(
        `SELECT "order" || ' ' || note AS text FROM public.${table} WHERE _tenant = $1 ORDER BY 1`,
        [tenant],
      )
    ).rows.map(({ text }) => text);
  const linesIn = async (tenant: string, table = 'lines') =>
    (
      await admin.query(
        `SELECT "order" || ' ' || line || ' ' || quantity AS text FROM public.${table} WHERE _tenant = $1 ORDER BY 1`,
        [tenant],
      )
    ).rows.map(({ text }) => text);

  const quantities = fc.constantFrom(1, 2, 3, -1, 100);
  const line = fc.record({ line: fc.integer({ min: 1, max: 3 }), quantity: quantities });
  const order = fc.record({
    order: fc.constantFrom('a', 'b', 'c', 'd'),
    note: fc.constantFrom('x', 'y'),
    lines: fc.array(line, { maxLength: 4 }),
  });
  const batch = fc.record({
    orders: fc.array(order, { minLength: 1, maxLength: 6 }),
    crashes: fc.array(fc.integer({ min: 0, max: 14 }), { maxLength: 2 }),
  });

  it('are stored together, once, whatever is killed, and as a reader of everything at once would store them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(batch, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
        async (runs) => {
          const tenant = newTenant();
          const expected = { orders: new Map<string, string>(), lines: new Map<string, string>() };
          for (const [i, batches] of runs.entries()) {
            const runId = await newRun(tenant);
            let sum = zeroCounts;
            let first = 0;
            for (const [seq, { orders, crashes }] of batches.entries()) {
              sum = addCounts(sum, await store(tenant, runId, seq, first, orders, crashes));
              first += orders.length;
            }
            await end(runId);

            const all = batches.flatMap(({ orders }) => orders);
            let rejected = 0;
            for (const { orders } of batches) {
              const [kept, left] = reference(orders);
              rejected += left;
              for (const { order, note, lines } of kept) {
                if (note !== undefined) expected.orders.set(order, `${order} ${note}`);
                for (const { line, quantity } of lines)
                  expected.lines.set(`${order} ${line}`, `${order} ${line} ${quantity}`);
              }
            }
            assert.equal(imbalance(sum), undefined);
            assert.equal(sum.read, all.length);
            const found = (await findRun(tenantsOf(api), tenant, runId))!;
            const { orders, lines } = found.countsByOutput!;
            for (const name of ['emitted', 'stored', 'unchanged', 'deduplicated'] as const)
              assert.equal(orders![name] + lines![name], sum[name], name);
            assert.equal(sum.rejected, rejected + negative(all));
            if (i === 0)
              assert.deepEqual([orders!.stored, lines!.stored], [expected.orders.size, expected.lines.size]);
            assert.deepEqual(await entriesOf(runId), { entries: batches.length, events: batches.length });
            assert.equal(await lettersOf(runId), rejected);
          }
          assert.deepEqual(await ordersIn(tenant), [...expected.orders.values()].sort());
          assert.deepEqual(await linesIn(tenant), [...expected.lines.values()].sort());
        },
      ),
      { numRuns: 25 },
    );
  });

  /**
   * The rows of a batch by record, and how many records the database rejects: of the rows with one key the last stays, and a record of
   * which one is too much has none.
   */
  function reference(
    all: readonly Order[],
  ): [kept: (Omit<Order, 'note'> & { note?: string })[], rejected: number] {
    const orders = all.filter(({ lines }) => lines.every(({ quantity }) => quantity >= 0));
    const ownRows = orders.map(({ order, note, lines }, i) => {
      const later = orders.slice(i + 1).filter((one) => one.order === order);
      const own = lines.filter(
        ({ line }, at) =>
          ![...lines.slice(at + 1), ...later.flatMap((one) => one.lines)].some((l) => l.line === line),
      );
      return { order, ...(later.length === 0 && { note }), lines: own };
    });
    const kept = ownRows.filter(({ lines }) => lines.every(({ quantity }) => quantity < 100));
    return [kept, ownRows.length - kept.length];
  }
  const negative = (orders: readonly Order[]) =>
    orders.filter(({ lines }) => lines.some(({ quantity }) => quantity < 0)).length;
  const entriesOf = async (runId: string) =>
    (
      await admin.query(
        `SELECT (SELECT count(*)::int FROM waybill.ledger WHERE run_id = $1) AS entries,
                (SELECT count(*)::int FROM waybill.audit_event WHERE run_id = $1 AND action = 'batch.stored') AS events`,
        [runId],
      )
    ).rows[0];
  const lettersOf = async (runId: string) =>
    (await admin.query('SELECT count(*)::int AS n FROM waybill.dead_letter WHERE run_id = $1', [runId]))
      .rows[0].n;

  it('wait for each table in one order, and for acceptances of a run that writes to any of them', async () => {
    const tenant = newTenant();
    const runId = await newRun(tenant);
    for (const lock of [lockOf(tenant, 'orders'), lockOf(tenant, 'lines'), lockOf(tenant, 'accept orders')]) {
      const holder = await admin.connect();
      await holder.query('SELECT pg_advisory_lock($1)', [lock]);
      const seq = (await entriesOf(runId)).entries;
      const stored = store(tenant, runId, seq, seq, [{ order: `${seq}`, note: 'x', lines: [] }]);
      await until('the store waits', async () => {
        const { rows } = await admin.query(
          `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
             AND (classid::bigint << 32 | objid::bigint) = $1::bigint`,
          [lock],
        );
        return rows.length === 1;
      });
      assert.equal((await entriesOf(runId)).entries, seq);
      await holder.query('SELECT pg_advisory_unlock($1)', [lock]);
      holder.release();
      assert.equal((await stored).stored, 1);
    }
  });

  it('are prepared and planned each', async () => {
    const plans = await planSinks(server.migratorUrl, [pipeline.manifest]);
    assert.deepEqual(plans, [
      { pipeline: 'orders', table: 'lines', changes: [] },
      { pipeline: 'orders', table: 'orders', changes: [] },
    ]);
  });

  it('are published in one transaction, of which a preview says the changes of each', async () => {
    const tenant = newTenant();
    const batches: Order[][] = [
      [
        { order: 'a', note: 'x', lines: [{ line: 1, quantity: 1 }] },
        { order: 'b', note: 'x', lines: [{ line: 1, quantity: 2 }] },
      ],
      [{ order: 'a', note: 'y', lines: [] }],
    ];
    const change = (
      added: number,
      changed: number,
      unchanged: number,
      deduplicated: number,
      removed: number,
    ) => ({
      ...{ added, changed, unchanged, deduplicated, removed },
    });
    const first = await publish(tenant, batches);
    assert.deepEqual(first.preview.changesByOutput, {
      lines: change(2, 0, 0, 0, 0),
      orders: change(2, 0, 0, 1, 0),
    });
    assert.deepEqual(first.preview.changes, change(4, 0, 0, 1, 0));
    assert.deepEqual(await ordersIn(tenant, 'all_orders'), ['a y', 'b x']);
    assert.deepEqual(await linesIn(tenant, 'all_lines'), ['a 1 1', 'b 1 2']);

    const second = await publish(tenant, [[{ order: 'a', note: 'y', lines: [{ line: 1, quantity: 9 }] }]]);
    assert.ok(second.preview.baseVersion > first.preview.baseVersion);
    assert.deepEqual(second.preview.changesByOutput, {
      lines: change(0, 1, 0, 0, 1),
      orders: change(0, 0, 1, 0, 1),
    });
    assert.deepEqual(second.countsByOutput, {
      lines: { emitted: 1, stored: 1, unchanged: 0, deduplicated: 0 },
      orders: { emitted: 1, stored: 0, unchanged: 1, deduplicated: 0 },
    });
    assert.deepEqual(await ordersIn(tenant, 'all_orders'), ['a y']);
    assert.deepEqual(await linesIn(tenant, 'all_lines'), ['a 1 9']);
  });

  async function publish(tenant: string, batches: Order[][]) {
    const { sink } = replacing.manifest;
    const runId = await newRun(tenant, replacing.manifest);
    const ledger = createLedger(tenantsOf(pool));
    const staged = {
      ...{ tenant, runId, sink, principal: 'prn_1' },
      async *batches() {
        for (const [seq, orders] of batches.entries())
          yield { seq, deadLetters: [], ...(await encode(replacing, seq, 10 * seq, orders)) };
      },
    };
    const preview: Preview = await ledger.previewRun(staged);
    const { credential, audit } = batchOf(tenant, runId, 0, await encode(replacing, 0, 0, []));
    const more = { pipeline: 'orders', version: 1, approval: undefined, approvers: [], credential, audit };
    const shown: Preview[] = [];
    const permits = (found: Preview) => shown.push(found) > 0;
    const published = await ledger.publishRun({ ...staged, ...more, permits });
    assert.equal(published.outcome, 'published');
    assert.deepEqual(shown, [preview]);
    await end(runId);
    return { preview, countsByOutput: (await findRun(tenantsOf(api), tenant, runId))!.countsByOutput };
  }
});

/** A worker that is killed after so many statements of a transaction. */
function crashing(tenants: Tenants, statements: number): Tenants {
  return {
    ...tenants,
    for(...who: Parameters<Tenants['for']>) {
      const own = tenants.for(...who);
      return {
        ...own,
        transaction: (work) =>
          own.transaction((client) => {
            let left = statements;
            const query = (...args: Parameters<typeof client.query>) => {
              if (left-- <= 0) throw new Error('killed');
              return client.query(...args);
            };
            return work(
              new Proxy(client, { get: (it, name) => (name === 'query' ? query : Reflect.get(it, name)) }),
            );
          }),
      };
    },
  };
}
