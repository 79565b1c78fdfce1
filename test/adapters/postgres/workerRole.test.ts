import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

/**
 * Columns that the worker’s role may change, and why a stolen password of it gains nothing by that. What publishing, firing or
 * authorizing believes must not be here; a new grant needs an entry.
 */
const mayUpdate: Readonly<Record<string, string>> = {
  'approval.ended_at': 'shown only',
  'approval.state': 'publishing verifies the signed decisions and the waiver again',
  'dead_letter.attempt': 'with its state',
  'dead_letter.changed_at': 'shown only',
  'dead_letter.code': 'with its state',
  'dead_letter.message': 'with its state',
  'dead_letter.path': 'with its state',
  'dead_letter.revision': 'with its state',
  'dead_letter.stage': 'with its state',
  'dead_letter.state': 'from under way to settled, of an open redrive (guard_dead_letter)',
  'decision.counted': 'publishing verifies each decision that counts',
  'decision.refused': 'a rejected decision can only be missing',
  'failed_attempt.attempt': 'shown only',
  'failed_attempt.code': 'shown only',
  'failed_attempt.message': 'shown only',
  'failed_attempt.next_attempt_at': 'shown only',
  'failed_attempt.step': 'shown only',
  'run.arrival': 'sealed once, and only for sources that workers read (guard_arrival)',
  'run.counts': 'shown only',
  'run.ended_at': 'once (guard_end)',
  'run.first_execution': 'once (guard_end)',
  'run.left_bytes': 'shown only',
  'run.reason': 'shown only',
  'run.started_at': 'shown only',
  'run.state': 'until it has ended (guard_end); the steps check the grant',
  'run.suspended_at': 'only how long it waits',
  'sink_version.replaced_order': 'which of two runs replaces the rows of a table that a worker writes itself',
  'sink_version.version': 'publishing compares the changes as well',
  'lookup.expires_at': 'a worker looks values up again, or not',
  'lookup.value': 'a worker looks values up',
  'watermark.mark': 'where the next run begins to read; a worker reads the source',
  'watermark.moved_at': 'shown only',
  'watermark.run_id': 'shown only',
};

/** Columns of the tables above, and of the audit, that it may write at first. */
const mayNotInsert = [
  'approval.by',
  'approval.created_at',
  'approval.ended_at',
  'approval.escalated_at',
  'approval.expires_at',
  'approval.remind_at',
  'audit_event.at',
  'audit_event.id',
  'batch.arrived_at',
  'dead_letter.created_at',
  'dead_letter.attempt',
  'dead_letter.edit',
  'dead_letter.edited_by',
  'dead_letter.redrive_run',
  'dead_letter.revision',
  'dead_letter.state',
  'decision.at',
  'ledger.stored_at',
  'quality_result.measured_at',
  'stage.at',
  'watermark.moved_at',
];

describe('the role of workers', () => {
  let postgres: TestPostgres;
  let admin: pg.Client;
  let worker: pg.Client;
  let relay: pg.Client;

  before(async () => {
    postgres = await startPostgresForTest();
    [admin, worker, relay] = (await Promise.all(
      [postgres.superuserUrl, postgres.workerUrl, postgres.relayUrl].map(async (connectionString) => {
        const client = new pg.Client({ connectionString });
        await client.connect();
        return client;
      }),
    )) as [pg.Client, pg.Client, pg.Client];
    await admin.query(`
      INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                               parameters, source, grant_jws, txn, arrival, first_execution, ended_at)
        SELECT 'orders-' || n, 'acme', 'orders', 1, 'd', '{}', CASE n WHEN 1 THEN 'running' ELSE 'failed' END, 'prn_alice',
               '{"id": "prn_alice", "actor": {"id": "prn_copilot"}}', '{}', '{}', 'g', 't', 'sealed', 'first',
               CASE n WHEN 1 THEN NULL ELSE now() END FROM generate_series(1, 2) n;
      INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state, revision)
        SELECT 'acme', state, 'orders', '{}', '{}', false, '{}', state, 5
        FROM unnest(ARRAY['active', 'paused', 'blocked', 'deleted']) state`);
    await worker.query(`SET waybill.tenant = 'acme'`);
  });
  after(async () => {
    await Promise.all([admin, worker, relay].map((client) => client?.end()));
    await postgres?.stop();
  });

  async function columnsWith(verb: string): Promise<string[]> {
    const { rows } = await admin.query(
      `SELECT c.relname || '.' || a.attname AS name
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
       WHERE c.relnamespace = 'waybill'::regnamespace AND c.relkind IN ('r', 'v')
         AND has_column_privilege('waybill_worker', c.oid, attnum, $1) ORDER BY 1`,
      [verb],
    );
    return rows.map(({ name }) => name);
  }

  const refused = (client: pg.Client, text: string) =>
    assert.rejects(client.query(text), { code: '42501' }, text);

  it('changes the columns of a reviewed list and no other', async () => {
    assert.deepEqual(await columnsWith('UPDATE'), Object.keys(mayUpdate).sort());
  });

  it('writes no time, no serial number and nothing else that the database gives', async () => {
    const inserted = await columnsWith('INSERT');
    assert.deepEqual(
      mayNotInsert.filter((name) => inserted.includes(name)),
      [],
    );
    const tables = new Set(inserted.map((name) => name.split('.')[0]));
    assert.deepEqual([...tables].sort(), [
      ...[
        'approval',
        'audit_event',
        'batch',
        'dead_letter',
        'decision',
        'delivery',
        'failed_attempt',
        'ledger',
        'ledger_slot',
        'lookup',
        'quality_measure',
        'quality_result',
        'sink_version',
      ],
      ...['source_window', 'stage', 'watermark'],
    ]);
  });

  it('deletes nothing but why a step failed, and values that are looked up again', async () => {
    const { rows } = await admin.query(
      `SELECT relname FROM pg_class WHERE relnamespace = 'waybill'::regnamespace AND relkind = 'r'
         AND has_table_privilege('waybill_worker', oid, 'DELETE')`,
    );
    assert.deepEqual(rows.map(({ relname }) => relname).sort(), ['failed_attempt', 'lookup']);
  });

  const event = (action: string, actor: string | null, run = 'orders-1') =>
    `INSERT INTO waybill.audit_event (tenant, run_id, action, outcome, actor, detail)
     VALUES ('acme', '${run}', '${action}', 'success', ${actor === null ? 'NULL' : `'{"id": "${actor}"}'`}, '{}')`;

  it('records its own actions, for the requester of the run', async () => {
    for (const actor of ['prn_alice', 'prn_copilot', null]) await worker.query(event('batch.stored', actor));
    for (const action of [
      'run.accepted',
      'approval.decided',
      'policy.applied',
      'principal.revoked',
      'schedule.created',
    ])
      await refused(worker, event(action, 'prn_alice'));
    for (const actor of ['prn_bob', '']) await refused(worker, event('batch.stored', actor));
    await refused(worker, event('batch.stored', 'prn_alice', 'orders-3'));
  });

  const open = (id: string, round: number, more = '') =>
    `INSERT INTO waybill.approval (id, run_id, pipeline, gate, round, state, digest, shown, terms${more && `, ${more}`})
     VALUES ('${id}', 'orders-1', 'orders', 'publish', ${round}, 'pending', 'd', '{}',
             '{"by": ["steward"], "escalateTo": ["operator"], "withinMs": 60000, "onTimeout": "escalate"}'${more && ', now()'})`;

  it('escalates no approval before its time by the clock of the database, and prolongs none', async () => {
    for (const column of ['created_at', 'expires_at', 'escalated_at', 'remind_at'])
      await refused(worker, open('apr_0', 1, column));
    await worker.query(open('apr_1', 1));
    const shown = async () =>
      (
        await admin.query(
          `SELECT by, escalated_at IS NOT NULL AS escalated, state, round(extract(epoch FROM expires_at - now())) AS "leftS"
           FROM waybill.approval WHERE id = 'apr_1'`,
        )
      ).rows[0];
    const untouched = { by: ['steward'], escalated: false, state: 'pending', leftS: '60' };
    for (const change of [
      'escalated_at = now()',
      `expires_at = now()`,
      `by = '["operator"]'`,
      `terms = '{}'`,
    ])
      await refused(worker, `UPDATE waybill.approval SET ${change}`);
    const early = await worker.query(`SELECT id FROM waybill.process_approval_timers('apr_1')`);
    assert.equal(early.rowCount, 0);
    assert.deepEqual(await shown(), untouched);
    await admin.query(`UPDATE waybill.approval SET expires_at = now() WHERE id = 'apr_1'`);
    await worker.query(`SET waybill.tenant = 'globex'`);
    assert.equal((await worker.query(`SELECT id FROM waybill.process_approval_timers('apr_1')`)).rowCount, 0);
    await worker.query(`SET waybill.tenant = 'acme'`);
    assert.equal((await worker.query(`SELECT id FROM waybill.process_approval_timers('apr_1')`)).rowCount, 1);
    assert.deepEqual(await shown(), {
      by: ['steward', 'operator'],
      escalated: true,
      state: 'pending',
      leftS: '60',
    });
  });

  it('brings no ended run back, and moves no run to another execution', async () => {
    await refused(worker, `UPDATE waybill.run SET ended_at = NULL, state = 'running' WHERE id = 'orders-2'`);
    await refused(worker, `UPDATE waybill.run SET state = 'completed' WHERE id = 'orders-2'`);
    await refused(worker, `UPDATE waybill.run SET first_execution = 'other' WHERE id = 'orders-1'`);
    await worker.query(`UPDATE waybill.run SET state = 'suspended' WHERE id = 'orders-1'`);
  });

  it('has nothing to do with the order of acceptance', async () => {
    await refused(worker, 'UPDATE waybill.run SET accepted_order = DEFAULT');
    await refused(worker, `SELECT nextval('waybill.run_accepted_order_seq')`);
  });

  describe('and that of relays', () => {
    it('stops schedules and starts none', async () => {
      for (const from of ['paused', 'blocked', 'deleted'])
        await refused(relay, `UPDATE waybill.schedule SET state = 'active' WHERE id = '${from}'`);
      await refused(relay, `UPDATE waybill.schedule SET state = 'deleted' WHERE id = 'active'`);
      await refused(relay, `UPDATE waybill.schedule SET revision = 4 WHERE id = 'active'`);
      await relay.query(`UPDATE waybill.schedule SET state = 'paused', revision = 6 WHERE id = 'active'`);
    });
  });
});
