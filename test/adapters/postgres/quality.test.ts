import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createStages } from '../../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { createQuality, createQualityResults } from '../../../adapters/postgres/quality.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { AuditEvent } from '../../../domain/audit.ts';
import type { QualityResult } from '../../../domain/quality/quality.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import { QualityMeter } from '../../../engine/records/qualityMeter.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const passed: QualityResult = { onBreach: 'warn', state: 'passed', rules: [] };
const breached: QualityResult = { onBreach: 'warn', state: 'breached', rules: [] };

const sink = {
  kind: 'postgres',
  table: 'orders',
  columns: [
    { name: 'id', type: 'text', nullable: true },
    { name: 'day', type: 'date', nullable: true },
  ],
} as const;
const rules = [
  { name: 'unique:id', kind: 'unique', columns: ['id'], maxDuplicates: '0%' },
  { name: 'complete:day', kind: 'complete', column: 'day', min: '100%' },
  { name: 'unique:day', kind: 'unique', columns: ['day'], maxDuplicates: '0%' },
] as const;

describe('what quality rules found', () => {
  let postgres: TestPostgres;
  let worker: Tenants;
  let api: Tenants;
  let owner: pg.Client;

  before(async () => {
    postgres = await startPostgresForTest();
    worker = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 4, name: 'test' }));
    api = tenantsOf(connectPool(postgres.apiUrl, { connectionsMax: 2, name: 'test' }));
    owner = new pg.Client({ connectionString: postgres.superuserUrl });
    await owner.connect();
  });
  after(async () => {
    await owner?.end();
    await Promise.all([worker?.end(), api?.end()]);
    await postgres?.stop();
  });

  async function addRun(
    n: number,
    { tenant = 'acme', version = 1, state = 'running', rows = 0, source = 'upload' } = {},
  ): Promise<RunFacts> {
    const runId = `orders-${tenant}-${String(n).padStart(3, '0')}`;
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival, counts, ended_at)
       VALUES ($1, $2, 'orders', $3, 'd', '{"id": "orders"}', $4, 'prn_a', '{"id": "prn_a"}', '{}', $5, 'g', 't', 'sealed', $6,
               CASE WHEN $4 = 'running' THEN NULL ELSE now() END)`,
      [runId, tenant, version, state, { kind: source }, { emitted: rows }],
    );
    return { runId, tenant, version, pipeline: 'orders', principal: 'prn_a' } as RunFacts;
  }

  const audit = ({ tenant, runId }: RunFacts, action: string): AuditEvent => ({
    ...{ action, outcome: 'success', tenant, runId, txn: null, detail: {} },
    actor: { id: 'prn_a', kind: 'person' },
  });

  async function addBatch(run: RunFacts, seq: number, rows: { id?: string; day?: string }[]): Promise<void> {
    const stages = createStages(worker);
    const meter = new QualityMeter({ sink, quality: { onBreach: 'warn', rules } });
    meter.add(rows);
    const output = { seq, digest: 'd', sizeBytes: 1 };
    const read = { read: rows.length + 1, rejected: 1 };
    await stages.record(run, { ...output, stage: 'validate', counts: read }, audit(run, 'batch.validated'));
    const counts = { passed: rows.length, emitted: rows.length };
    const transformed = { ...output, stage: 'transform', counts, quality: meter.finish() } as const;
    // A retry that was slower records nothing of its own.
    for (const _ of [1, 2]) await stages.record(run, transformed, audit(run, 'batch.transformed'));
  }

  const all = { earlierRuns: 5, countsKeys: true };

  it('is added up over batches, with the different keys of each rule', async () => {
    const run = await addRun(1);
    await addBatch(run, 0, [{ id: 'a', day: '2026-01-01' }, { id: 'b' }, { id: 'a' }]);
    await addBatch(run, 1, [{ id: 'b', day: '2026-01-02' }, { id: 'c', day: '2026-01-01' }, {}]);
    await addBatch(run, 2, []);
    const { counts, measures, distinct, earlierRows } = await createQuality(worker).measure(run, all);
    assert.deepEqual(counts, { ...zeroCounts, read: 9, rejected: 3, passed: 6, emitted: 6 });
    assert.deepEqual(measures, {
      'unique:id': { rows: 5, off: 0 },
      'complete:day': { rows: 6, off: 3 },
      'unique:day': { rows: 3, off: 0 },
    });
    assert.deepEqual(
      distinct,
      new Map([
        [0, 3],
        [2, 2],
      ]),
    );
    assert.deepEqual(earlierRows, []);
  });

  it('counts many keys of many batches', async () => {
    const run = await addRun(2);
    for (const seq of [0, 1, 2])
      await addBatch(
        run,
        seq,
        Array.from({ length: 20_000 }, (_, i) => ({ id: `${seq * 10_000 + i}` })),
      );
    const { distinct } = await createQuality(worker).measure(run, all);
    assert.deepEqual(distinct, new Map([[0, 40_000]]));
  });

  it('counts a stored batch as it was stored', async () => {
    const run = await addRun(3);
    await addBatch(run, 0, [{ id: 'a' }, { id: 'b' }]);
    await addBatch(run, 1, [{ id: 'c' }]);
    const stored = { ...zeroCounts, read: 3, passed: 1, rejected: 2, emitted: 1, stored: 1 };
    await owner.query(`INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ('acme', $1, 0, $2)`, [
      run.runId,
      stored,
    ]);
    const { counts } = await createQuality(worker).measure(run, { earlierRuns: 0, countsKeys: false });
    assert.deepEqual(counts, { ...zeroCounts, read: 5, passed: 2, rejected: 3, emitted: 2, stored: 1 });
  });

  it('compares with measured runs of the same tenant, pipeline and version that completed before', async () => {
    const quality = createQuality(worker);
    const runs = [
      await addRun(10, { state: 'completed', rows: 10 }),
      await addRun(11, { state: 'completed', rows: 11, version: 2 }),
      await addRun(12, { state: 'failed', rows: 12 }),
      await addRun(13, { state: 'completed', rows: 13, source: 'deadLetters' }),
      await addRun(14, { state: 'completed', rows: 14 }),
      await addRun(15, { state: 'completed', rows: 15, tenant: 'globex' }),
      await addRun(17, { state: 'completed', rows: 17 }),
    ];
    for (const run of runs) await quality.record(run, passed, audit(run, 'quality.assessed'));
    const run = await addRun(16);
    const earlierOf = async (earlierRuns: number) =>
      (await quality.measure(run, { earlierRuns, countsKeys: false })).earlierRows;
    assert.deepEqual(await earlierOf(5), [14, 10]);
    assert.deepEqual(await earlierOf(1), [14]);
  });

  it('is recorded once, with one audit event, and never changed', async () => {
    const quality = createQuality(worker);
    const run = await addRun(20);
    assert.equal(await quality.find(run), undefined);
    assert.deepEqual(await quality.record(run, breached, audit(run, 'quality.assessed')), breached);
    assert.deepEqual(await quality.record(run, passed, audit(run, 'quality.assessed')), breached);
    assert.deepEqual(await quality.find(run), breached);
    const { rows } = await owner.query(
      `SELECT count(*)::integer AS n FROM waybill.audit_event WHERE run_id = $1 AND action = 'quality.assessed'`,
      [run.runId],
    );
    assert.deepEqual(rows, [{ n: 1 }]);
    for (const change of [
      'UPDATE waybill.quality_result SET version = 2',
      'DELETE FROM waybill.quality_result',
    ])
      await assert.rejects(worker.for('acme').query(change), ({ cause }) => cause.code === '42501');
  });

  it('is listed for its tenant, the newest run first, page by page', async () => {
    const results = createQualityResults(api);
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await results.list('acme', { pipeline: 'orders', limit: 2, ...(cursor && { cursor }) });
      assert.ok(page.items.length <= 2);
      ids.push(...page.items.map(({ run }) => run.id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    const expected = [20, 17, 14, 13, 12, 11, 10].map((n) => `orders-acme-${String(n).padStart(3, '0')}`);
    assert.deepEqual(ids, expected);
    const { items } = await results.list('globex', { pipeline: 'orders', limit: 9 });
    assert.deepEqual(
      items.map(({ run, version, state }) => [run.id, run.requestedBy.id, version, state]),
      [['orders-globex-015', 'prn_a', 1, 'passed']],
    );
    assert.deepEqual((await results.list('acme', { pipeline: 'others', limit: 9 })).items, []);
  });

  it('is gone with the run and with its stages', async () => {
    await owner.query(`DELETE FROM waybill.stage WHERE run_id = 'orders-acme-002'`);
    await owner.query(`DELETE FROM waybill.run WHERE id = 'orders-acme-017'`);
    const { rows } = await owner.query(
      `SELECT (SELECT count(*)::integer FROM waybill.quality_measure WHERE run_id = 'orders-acme-002') AS measures,
              (SELECT count(*)::integer FROM waybill.quality_result WHERE run_id = 'orders-acme-017') AS results`,
    );
    assert.deepEqual(rows, [{ measures: 0, results: 0 }]);
  });
});
