import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { inTransaction } from '../../../adapters/postgres/connect.ts';
import { createWatermarks, moveWatermark } from '../../../adapters/postgres/ledger/watermarks.ts';
import { type Tenants, tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import type { Mark, Window } from '../../../domain/sources/watermark.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const head = { firstByte: 0, sizeBytes: 3, digest: 'head' };
const since = (value: string | null): Window => ({ kind: 'field', order: 'integer', since: value });
const grown: Window = { kind: 'bytes', fromByte: 0, firstLine: 1, untilByte: 99, head };

describe('watermarks', () => {
  let postgres: TestPostgres;
  let admin: pg.Client;
  let tenants: Tenants;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Client({ connectionString: postgres.superuserUrl });
    await admin.connect();
    tenants = tenantsOf(new pg.Pool({ connectionString: postgres.workerUrl, max: 3 }));
  });
  after(async () => {
    await tenants?.end();
    await admin?.end();
    await postgres?.stop();
  });

  let runs = 0;
  /** A run that has read `highest` in as many batches, of which the first `stored` are in the ledger. */
  async function runThatRead(highest: (string | null)[], window: Window, key = 'k', tenant = 'acme') {
    const runId = `changes-${++runs}`;
    const run = { tenant, runId, pipeline: 'changes' } as RunFacts;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'changes', 1, 'd', '{}', 'running', 'prn_1', '{}', '{}', '{"kind":"http"}', 'g', 't', 'sealed')`,
      [runId, tenant],
    );
    for (const [seq, value] of highest.entries()) {
      await admin.query(
        `INSERT INTO waybill.batch (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records)
         VALUES ($1, $2, $3, 'batch', 10, $3::integer * 10, 0, 1, 1)`,
        [tenant, runId, seq],
      );
      await admin.query(
        `INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts, highest)
         VALUES ($1, $2, $3, 'validate', 'd', 1, '{}', $4)`,
        [tenant, runId, seq, value],
      );
    }
    await createWatermarks(tenants).openWindow(run, key, window);
    return run;
  }

  const store = (run: RunFacts, seq: number, fail = false) =>
    tenants.for(run.tenant).transaction(async (client) => {
      await client.query('INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ($1, $2, $3, $4)', [
        run.tenant,
        run.runId,
        seq,
        {},
      ]);
      await moveWatermark(client, run, {
        action: 'batch.stored',
        outcome: 'success',
        tenant: run.tenant,
        actor: null,
        runId: run.runId,
        txn: null,
        detail: { grant: 'g' },
      });
      if (fail) throw new Error('the worker dies');
    });
  const markOf = (run: RunFacts, key = 'k') => createWatermarks(tenants).find(run, key);
  const value = (mark: Mark | undefined) => (mark?.kind === 'field' ? mark.value : undefined);

  it('move with the last batch of a run, to the highest value of all its batches', async () => {
    const run = await runThatRead(['9', '10', null], since(null));
    await store(run, 0);
    await store(run, 1);
    assert.equal(await markOf(run), undefined);
    await assert.rejects(store(run, 2, true));
    assert.equal(await markOf(run), undefined, 'what did not commit moved nothing');
    await store(run, 2);
    assert.equal(value(await markOf(run)), '10');
    const { rows } = await admin.query(
      `SELECT run_id, detail FROM waybill.audit_event WHERE action = 'watermark.moved'`,
    );
    assert.deepEqual(rows, [
      { run_id: run.runId, detail: { grant: 'g', key: 'k', from: null, to: { kind: 'field', value: '10' } } },
    ]);
  });

  it('never move backward, whichever of two runs commits first', async () => {
    const [further, less] = await Promise.all([
      runThatRead(['30'], since('10'), 'race'),
      runThatRead(['20'], since('10'), 'race'),
    ]);
    await Promise.all([store(further, 0), store(less, 0)]);
    assert.equal(value(await markOf(less, 'race')), '30');
    const nothing = await runThatRead([null], since('30'), 'race');
    await store(nothing, 0);
    const standing = await admin.query(`SELECT run_id FROM waybill.watermark WHERE key = 'race'`);
    assert.equal(standing.rows[0].run_id, further.runId);
  });

  it('of a growing file are at the end of its last batch, by which its bytes are known again', async () => {
    const run = await runThatRead([null, null], grown, 'file');
    await store(run, 0);
    await store(run, 1);
    const tail = { firstByte: 10, sizeBytes: 10, digest: 'batch', firstLine: 1 };
    assert.deepEqual(await markOf(run, 'file'), { kind: 'bytes', head, tail });
  });

  it('are of one tenant', async () => {
    const run = await runThatRead(['1'], since(null), 'theirs', 'globex');
    await store(run, 0);
    assert.equal(value(await markOf(run, 'theirs')), '1');
    assert.equal(await markOf({ ...run, tenant: 'acme' }, 'theirs'), undefined);
  });

  it('leave a run the window with which it began', async () => {
    const run = await runThatRead(['1'], since('5'), 'window');
    assert.deepEqual(await createWatermarks(tenants).openWindow(run, 'window', since('7')), since('5'));
    assert.deepEqual(await createWatermarks(tenants).findWindow(run), since('5'));
    const pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 1 });
    const change = inTransaction(pool, async (client) => {
      await client.query(`SELECT set_config('waybill.tenant', 'acme', true)`);
      await client.query(`UPDATE waybill.source_window SET extent = '{}'`);
    });
    await assert.rejects(change, 'not even a worker can change it');
    await pool.end();
  });
});
