import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createBatches } from '../../../adapters/postgres/batches/batches.ts';
import { createStages } from '../../../adapters/postgres/batches/stages.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { countRun } from '../../../adapters/postgres/ledger/runTotals.ts';
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

  it('counts what was read and refused of a batch that was never stored, and none of its rows', async () => {
    const run = await addEnded('cancelled');
    for (const [seq, stage, counts] of [
      [0, 'validate', { read: 1 }],
      [0, 'transform', { passed: 1, emitted: 1 }],
      [1, 'validate', { read: 5, rejected: 1 }],
      [1, 'transform', { passed: 2, filtered: 1, rejected: 1, emitted: 4 }],
      [2, 'validate', { read: 7 }],
    ])
      await owner.query(
        `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts) VALUES ('acme', $1, $2, $3, 'd', 1, $4)`,
        [run.runId, seq, stage, counts],
      );
    const { counts, stored } = await countRun(tenants.for(run.tenant), run.runId);
    const read = { read: 5, passed: 2, filtered: 1, rejected: 2 };
    assert.deepEqual([counts, stored], [{ ...zeroCounts, ...read, stored: 1 }, 1]);
  });

  const batches = () => createBatches(tenants, async () => {});
  const stages = () => createStages(tenants);

  it('says again what it has said in the execution that completed it, whose last workflow task may be lost', async () => {
    const run = await addEnded('completed');
    assert.deepEqual(await batches().arrivals(run, 'first', 0, 0, aborted), {
      received: 1,
      inputComplete: true,
      broken: false,
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
