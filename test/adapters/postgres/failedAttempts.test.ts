import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { createFailedAttempts } from '../../../adapters/postgres/runs/failedAttempts.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { findRun } from '../../../adapters/postgres/runs/runs.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { type FailedAttempt, type RunState, zeroCounts } from '../../../domain/runs/run.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('the failed attempt of a run', () => {
  let postgres: TestPostgres;
  let worker: Tenants;
  let api: Tenants;
  let owner: pg.Client;

  before(async () => {
    postgres = await startPostgresForTest();
    worker = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 2, name: 'test' }));
    api = tenantsOf(connectPool(postgres.apiUrl, { connectionsMax: 2, name: 'test' }));
    owner = new pg.Client({ connectionString: postgres.superuserUrl });
    await owner.connect();
  });
  after(async () => {
    await owner.end();
    await Promise.all([worker.end(), api.end()]);
    await postgres.stop();
  });

  let runs = 0;
  async function addRun(state: RunState = 'running') {
    const run = { tenant: 'acme', runId: `orders-${++runs}` };
    await owner.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
         parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'orders', 1, 'd', '{}', $3, 'prn_a', '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [run.runId, run.tenant, state],
    );
    return run;
  }

  const inMs = (ms: number) => new Date(Date.now() + ms).toISOString();
  const failed = (change: Partial<FailedAttempt> = {}): FailedAttempt => ({
    step: 'store',
    code: 'SinkRejected',
    message: 'm',
    attempt: 2,
    nextAttemptAt: inMs(30_000),
    ...change,
  });
  const shown = async ({ tenant, runId }: { tenant: string; runId: string }) =>
    (await findRun(api, tenant, runId))?.retrying;

  it('is shown with its next attempt, until its step succeeds', async () => {
    const run = await addRun();
    const attempts = createFailedAttempts(worker);
    assert.equal(await shown(run), undefined);
    await attempts.record(run, failed({ attempt: 1 }));
    const latest = failed();
    await attempts.record(run, latest);
    assert.deepEqual(await shown(run), latest);
    await attempts.clear(run, 'transform');
    assert.deepEqual(await shown(run), latest);
    await attempts.clear(run, 'store');
    assert.equal(await shown(run), undefined);
  });

  it('is shown only while the run works, and only of an attempt that is retried', async () => {
    const attempts = createFailedAttempts(worker);
    for (const state of ['suspended', 'awaiting-approval'] as const) {
      const run = await addRun(state);
      await attempts.record(run, failed());
      assert.equal(await shown(run), undefined, state);
    }
    const run = await addRun();
    await attempts.record(run, failed({ nextAttemptAt: null }));
    assert.equal(await shown(run), undefined);
    await attempts.record(run, failed({ nextAttemptAt: inMs(-31 * 60_000) }));
    assert.equal(await shown(run), undefined);
  });

  it('belongs to its tenant', async () => {
    const run = await addRun();
    await createFailedAttempts(worker).record({ ...run, tenant: 'globex' }, failed());
    assert.equal(await shown(run), undefined);
  });

  it('is given to the end of the run, after which none is recorded', async () => {
    const run = await addRun();
    const attempts = createFailedAttempts(worker);
    const last = failed({ nextAttemptAt: null });
    await attempts.record(run, last);
    let given: FailedAttempt | undefined;
    await createRunStates(worker).end(run, (_, lastFailed) => {
      given = lastFailed;
      return {
        outcome: { state: 'failed', counts: zeroCounts, reason: { code: 'SinkRejected', message: 'm' } },
        audit: {
          action: 'run.failed',
          outcome: 'failure',
          tenant: run.tenant,
          actor: null,
          runId: run.runId,
          txn: 't',
          detail: {},
        },
      };
    });
    assert.deepEqual(given, last);
    await attempts.record(run, failed({ code: 'Internal' }));
    const { rows } = await owner.query('SELECT code FROM waybill.failed_attempt WHERE run_id = $1', [
      run.runId,
    ]);
    assert.deepEqual(rows, [{ code: 'SinkRejected' }]);
  });
});
