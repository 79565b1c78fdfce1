import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createBatches } from '../../../adapters/postgres/batches/batches.ts';
import { createStages } from '../../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { countRun } from '../../../adapters/postgres/ledger/runTotals.ts';
import { cancelRun } from '../../../adapters/postgres/runs/controlRun.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('a run that has ended', () => {
  let postgres: TestPostgres;
  let tenants: Tenants;
  let owner: pg.Client;
  const aborted = AbortSignal.abort();

  before(async () => {
    postgres = await startPostgresForTest();
    tenants = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 4, name: 'test' }));
    owner = new pg.Client({ connectionString: postgres.superuserUrl });
    await owner.connect();
  });
  after(async () => {
    await owner.end();
    await tenants.end();
    await postgres.stop();
  });

  /** One batch, which was stored; the run began in the execution `first`. */
  async function addEnded(state: 'completed' | 'failed' | 'cancelled') {
    const run = { tenant: 'acme', runId: `orders-${state}` };
    const of = [run.runId, run.tenant];
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival, first_execution, ended_at)
       VALUES ($1, $2, 'orders', 1, 'd', '{}', $3, 'prn_a', '{}', '{}', '{}', 'g', 't', 'sealed', 'first', now())`,
      [...of, state],
    );
    await owner.query(
      `INSERT INTO waybill.batch (run_id, tenant, seq, digest, size_bytes, first_byte, first_record, first_line, records)
       VALUES ($1, $2, 0, 'd', 1, 0, 0, 1, 1)`,
      of,
    );
    await owner.query(
      `INSERT INTO waybill.ledger (run_id, tenant, seq, counts) VALUES ($1, $2, 0, '{"stored": 1}')`,
      of,
    );
    return run;
  }

  it('counts what the steps decided of batches that were never stored, and none of their rows', async () => {
    const run = await addEnded('cancelled');
    for (const [seq, stage, counts] of [
      [0, 'validate', { read: 1 }],
      [0, 'transform', { passed: 1, emitted: 1 }],
      [1, 'validate', { read: 5, rejected: 1 }],
      [1, 'transform', { passed: 2, filtered: 1, rejected: 1, emitted: 4 }],
      [2, 'validate', { read: 7, rejected: 3 }],
    ])
      await owner.query(
        `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts) VALUES ('acme', $1, $2, $3, 'd', 1, $4)`,
        [run.runId, seq, stage, counts],
      );
    const { counts, stored } = await countRun(tenants.for(run.tenant), run.runId);
    const read = { read: 12, passed: 2, filtered: 1, rejected: 5 };
    assert.deepEqual([counts, stored], [{ ...zeroCounts, ...read, stored: 1 }, 1]);
  });

  it('names the batches of which rejected records are kept nowhere', async () => {
    const runId = 'orders-unkept';
    const run = { tenant: 'acme', runId };
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival)
       VALUES ($1, 'acme', 'orders', 1, 'd', '{}', 'running', 'prn_a', '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId],
    );
    await owner.query(
      `INSERT INTO waybill.batch (run_id, tenant, seq, digest, size_bytes, first_byte, first_record, first_line, records)
       SELECT $1, 'acme', n, 'd' || n, 1, n, n, n + 1, 1 FROM generate_series(0, 4) n`,
      [runId],
    );
    // 0 is stored, 1 has dead letters, 2 rejected nothing, 3 was only validated, and 4 is rejected by both stages.
    await owner.query(
      `INSERT INTO waybill.ledger (run_id, tenant, seq, counts) VALUES ($1, 'acme', 0, '{}')`,
      [runId],
    );
    await owner.query(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw)
       VALUES ('dl_kept', 'acme', $1, 'orders', 1, 'prn_a', 1, 1, 2, 1, 1, 'validate', 'c', '', 'm', 'x')`,
      [runId],
    );
    for (const [seq, stage, rejected] of [
      ...[0, 1, 3, 4].map((n) => [n, 'validate', 1]),
      ...[
        [2, 'validate', 0],
        [2, 'transform', 0],
        [4, 'transform', 2],
      ],
    ])
      await owner.query(
        `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts)
         VALUES ('acme', $1, $2, $3, 'd', 1, $4)`,
        [runId, seq, stage, { rejected }],
      );
    const unkept = await createStages(tenants).listUnkept(run);
    assert.deepEqual(
      unkept.map(({ batch, stages }) => [batch.seq, stages.map(({ stage }) => stage)]),
      [
        [3, ['validate']],
        [4, ['validate', 'transform']],
      ],
    );
  });

  it('counts what a step stored while the run was being ended, and lets none store afterwards', async () => {
    const run = { tenant: 'acme', runId: 'orders-zombie' };
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'orders', 1, 'd', '{}', 'running', 'prn_a', '{"id": "prn_a"}', '{}', '{}', 'g', 't', 'sealed')`,
      [run.runId, run.tenant],
    );
    const stored = { ...zeroCounts, read: 5, passed: 5, emitted: 5, stored: 5 };
    for (const state of ['failed', 'cancelled'] as const) {
      await owner.query(`UPDATE waybill.run SET ended_at = NULL, state = 'running' WHERE id = $1`, [
        run.runId,
      ]);
      await owner.query('DELETE FROM waybill.ledger WHERE run_id = $1', [run.runId]);
      let ending: Promise<unknown> = Promise.resolve();
      // A zombie holds the run as a store does, and commits after the end was asked for.
      await tenants.for('acme').transaction(async (client) => {
        await client.query('SELECT FROM waybill.run WHERE id = $1 FOR SHARE', [run.runId]);
        ending = createRunStates(tenants).end(run, ({ counts }) => ({
          outcome: { state, counts },
          audit: {
            action: `run.${state}`,
            outcome: 'success',
            tenant: 'acme',
            actor: null,
            runId: run.runId,
            txn: null,
            detail: {},
          },
        }));
        await new Promise((resolve) => setTimeout(resolve, 200));
        await client.query(
          'INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ($1, $2, 0, $3)',
          [run.tenant, run.runId, stored],
        );
      });
      assert.deepEqual(await ending, { state, counts: stored });
      const { rows } = await owner.query('SELECT state, counts FROM waybill.run WHERE id = $1', [run.runId]);
      assert.deepEqual(rows, [{ state, counts: stored }]);
    }
  });

  it('begins and records a stage, whether or not a step follows that waits for the disk', async () => {
    for (const isFollowed of [true, false]) {
      const run = { tenant: 'acme', runId: `orders-followed-${isFollowed}` };
      await owner.query(
        `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
           parameters, source, grant_jws, txn, arrival)
         VALUES ($1, $2, 'orders', 1, 'd', '{}', 'accepted', 'prn_a', '{"id": "prn_a"}', '{}', '{}', 'g', 't', 'sealed')`,
        [run.runId, run.tenant],
      );
      const audit = {
        action: 'run.started',
        outcome: 'success',
        tenant: 'acme',
        actor: null,
        runId: run.runId,
        txn: null,
        detail: {},
      } as const;
      const output = { seq: 0, stage: 'validate', digest: 'd', sizeBytes: 1, counts: { read: 1 } } as const;
      await createRunStates(tenants).begin(run, 'first', audit, isFollowed);
      assert.deepEqual(await createStages(tenants).record(run, output, audit, isFollowed), output);
      assert.equal(
        (await createStages(tenants).record(run, { ...output, digest: 'e' }, audit, isFollowed)).digest,
        'd',
      );
      const { rows } = await owner.query(
        `SELECT state, (SELECT count(*)::int FROM waybill.audit_event WHERE run_id = $1) AS events FROM waybill.run WHERE id = $1`,
        [run.runId],
      );
      assert.deepEqual(rows, [{ state: 'running', events: 2 }]);
    }
  });

  it('is asked to be cancelled without waiting for the transaction that publishes it', async () => {
    const runId = 'orders-published';
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival)
       VALUES ($1, 'acme', 'orders', 1, 'd', '{}', 'running', 'prn_a', '{"id": "prn_a"}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId],
    );
    const api = tenantsOf(new pg.Pool({ connectionString: postgres.apiUrl, max: 2 }));
    const audit = {
      action: 'run.cancel-requested',
      outcome: 'success',
      tenant: 'acme',
      actor: { id: 'prn_a', kind: 'person' },
      runId,
      txn: null,
      detail: {},
    } as const;
    await tenants.for('acme').transaction(async (client) => {
      await client.query('SELECT FROM waybill.run WHERE id = $1 FOR SHARE', [runId]);
      const beganAt = performance.now();
      for (let i = 0; i < 60; i += 6)
        await Promise.all(Array.from({ length: 6 }, () => cancelRun(api, 'acme', runId, audit)));
      assert.ok(performance.now() - beganAt < 5_000);
    });
    const { rows } = await owner.query(`SELECT DISTINCT kind FROM waybill.outbox WHERE run_id = $1`, [runId]);
    assert.deepEqual(rows, [{ kind: 'cancel' }]);
    await api.end();
  });

  const batches = () => createBatches(tenants, async () => {});
  const stages = () => createStages(tenants);

  it('repeats its answers in the execution that completed it, because the last workflow task may be lost', async () => {
    const run = await addEnded('completed');
    assert.deepEqual(await batches().arrivals(run, 'first', 0, 0, aborted), {
      received: 1,
      inputComplete: true,
      broken: false,
      digests: ['d'],
    });
    assert.deepEqual((await stages().findWork(run, 'first', 0)).stored, { stored: 1 });
  });

  it('has nothing to say in another execution, such as a copy or one that was reset', async () => {
    const run = { tenant: 'acme', runId: 'orders-completed' };
    await assert.rejects(batches().arrivals(run, 'second', 0, 0, aborted), { code: 'RunEnded' });
    await assert.rejects(stages().findWork(run, 'second', 0), { code: 'RunEnded' });
  });

  it('has nothing to say where it failed or was cancelled, to whatever still works on it', async () => {
    const run = await addEnded('failed');
    await assert.rejects(batches().arrivals(run, 'first', 0, 0, aborted), { code: 'RunEnded' });
    await assert.rejects(stages().findWork(run, 'first', 0), { code: 'RunEnded' });
  });
});
