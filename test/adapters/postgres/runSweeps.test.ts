import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import pg from 'pg';
import { applyRetention, planRetention } from '../../../adapters/postgres/applyRetention.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { readKept } from '../../../adapters/postgres/runs/keptByTenant.ts';
import { createRunSweeps } from '../../../adapters/postgres/runs/runSweeps.ts';
import { sweepOrphans } from '../../../application/runs/sweepOrphans.ts';
import { sweepRuns } from '../../../application/runs/sweepRuns.ts';
import { retentionLines } from '../../../cli/output/retentionText.ts';
import type { Manifest } from '../../../domain/pipelines/manifest.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { things } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const hourMs = 3_600_000;
const tables = [
  ...[
    'run',
    'batch',
    'stage',
    'ledger',
    'ledger_slot',
    'dead_letter',
    'approval',
    'decision',
    'delivery',
    'firing',
    'backfill',
  ],
  ...['idempotency', 'outbox', 'source_window', 'failed_attempt'],
];

describe('the sweep of runs', () => {
  let postgres: TestPostgres;
  let owner: pg.Client;
  let relay: pg.Pool;
  const removed: string[] = [];

  const objects = {
    remove: async (scope: { tenant: string; runId: string }, digests: readonly string[]) => {
      removed.push(...digests.map((digest) => `${scope.tenant}/${scope.runId}/${digest}`));
    },
  };
  const sweep = () => sweepRuns({ sweeps: createRunSweeps(relay), objects });
  const keep = (retention: Manifest['retention'], project?: Manifest['retention']) =>
    applyRetention(postgres.migratorUrl, [{ ...things, ...(retention && { retention }) }], project);
  const plan = (retention: NonNullable<Manifest['retention']>, project: Manifest['retention']) =>
    planRetention(postgres.migratorUrl, [{ ...things, retention }], project);
  const forever = { input: null, runs: null, deadLetters: null, stages: null };

  before(async () => {
    postgres = await startPostgresForTest();
    owner = new pg.Client({ connectionString: postgres.superuserUrl });
    await owner.connect();
    relay = connectPool(postgres.relayUrl, { connectionsMax: 2, name: 'test' });
    await owner.query(`
      INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state)
        VALUES ('acme', 'daily', 'things', '{}', '{}', false, '{}', 'active')`);
  });
  after(async () => {
    await owner?.end();
    await relay?.end();
    await postgres?.stop();
  });
  beforeEach(async () => {
    removed.length = 0;
    await owner.query(
      `TRUNCATE waybill.run, waybill.audit_event, waybill.idempotency, waybill.outbox, waybill.watermark CASCADE`,
    );
  });

  /** A run with a row in each table; it ended so long ago, or has not ended. */
  async function addRun(
    id: string,
    endedAgoMs: number | null,
    { object = null as object | null, letter = 'resolved' } = {},
  ) {
    const run = { id, ago: endedAgoMs };
    await owner.query(
      sql(
        `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
           parameters, source, grant_jws, txn, arrival, ended_at)
         VALUES (:id, 'acme', 'things', 1, 'd', '{}', CASE WHEN :ago::bigint IS NULL THEN 'running' ELSE 'completed' END,
           'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed', now() - :ago::bigint * interval '1 millisecond')`,
        run,
      ),
    );
    const rows = [
      `batch (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records, bytes)
         VALUES ('acme', :id, 0, 'input', 1, 0, 0, 1, 1, 'x')`,
      `stage (tenant, run_id, seq, stage, digest, rejected_digest, size_bytes, counts)
         VALUES ('acme', :id, 0, 'validate', 'stage', 'rejected', 1, '{}')`,
      `ledger (tenant, run_id, seq, counts) VALUES ('acme', :id, 0, '{}')`,
      `ledger_slot (tenant, run_id, seq, slot) VALUES ('acme', :id, 0, 0)`,
      `idempotency (tenant, principal, pipeline, key, run_id) VALUES ('acme', 'prn_1', 'things', :id, :id)`,
      `outbox (tenant, kind, run_id) VALUES ('acme', 'cancel', :id)`,
      `delivery (id, tenant, run_id, type, data, url)
         VALUES (:id, 'acme', :id, 'run.completed', '{}', 'https://hooks.example/')`,
      `firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
         VALUES ('acme', 'daily', clock_timestamp(), 'fired', :id, 'w', 'r')`,
      `backfill (tenant, schedule_id, nominal_at, run_id) VALUES ('acme', 'daily', now(), :id)`,
      `approval (id, tenant, run_id, pipeline, gate, state, digest, shown, terms, by, expires_at)
         VALUES (:id, 'acme', :id, 'things', 'publish', 'pending', 'd', '{}', '{}', '[]', now())`,
      `decision (id, tenant, approval_id, run_id, principal, by, vote, jws)
         VALUES (:id, 'acme', :id, :id, 'prn_2', '{}', 'approve', 'jws')`,
      `failed_attempt (tenant, run_id, step, code, message, attempt) VALUES ('acme', :id, 'store', 'c', 'm', 1)`,
      `source_window (tenant, run_id, key, extent) VALUES ('acme', :id, 'k', '{}')`,
      `watermark (tenant, pipeline, key, source, mark, run_id) VALUES ('acme', 'things', :id, '{}', '{}', :id)`,
    ];
    for (const row of rows) await owner.query(sql(`INSERT INTO waybill.${row}`, { id }));
    await owner.query(
      sql(
        `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
           byte_length, stage, code, path, message, state, raw, object)
         VALUES (:id, 'acme', :id, 'things', 1, 'prn_1', 0, 0, 1, 0, 1, 'validate', 'c', '', 'm', :letter,
           CASE WHEN :object::jsonb IS NULL THEN 'x'::bytea END, :object)`,
        { id, letter, object: jsonParam(object) },
      ),
    );
  }

  /** The tables that still have a row of the run. */
  async function kept(id: string): Promise<string[]> {
    const held: string[] = [];
    for (const table of tables) {
      const column = table === 'run' ? 'id' : 'run_id';
      const { rowCount } = await owner.query(
        sql(`SELECT FROM waybill.${table} WHERE ${column} = :id`, { id }),
      );
      if (rowCount) held.push(table);
    }
    return held;
  }
  const without = (...gone: string[]) => tables.filter((table) => !gone.includes(table));
  const audited = async () =>
    (await owner.query('SELECT action, run_id, detail FROM waybill.audit_event ORDER BY id')).rows.map(
      ({ action, run_id, detail }) => [action, run_id, detail],
    );

  it('removes nothing before a retention was applied', async () => {
    await owner.query('TRUNCATE waybill.retention');
    await addRun('things-old', 10_000 * 24 * hourMs);
    await sweep();
    assert.deepEqual([await kept('things-old'), removed], [tables, []]);
  });

  it('removes each part when its time is over, of runs that have ended, and says so in the audit', async () => {
    await keep({ ...forever, stages: hourMs, deadLetters: 2 * hourMs, input: 3 * hourMs, runs: 5 * hourMs });
    await owner.query('TRUNCATE waybill.audit_event');
    await addRun('things-open', null);
    for (const hours of [0, 1, 2, 3, 5]) await addRun(`things-${hours}`, hours * hourMs + 60_000);
    assert.deepEqual(await sweep(), { runs: 5, more: false });
    assert.deepEqual(await kept('things-open'), tables);
    assert.deepEqual(await kept('things-0'), tables);
    assert.deepEqual(await kept('things-1'), without('stage'));
    assert.deepEqual(await kept('things-2'), without('stage', 'dead_letter'));
    assert.deepEqual(await kept('things-3'), without('stage', 'dead_letter'));
    assert.deepEqual(await kept('things-5'), []);
    const small = await owner.query('SELECT run_id FROM waybill.batch WHERE bytes IS NULL');
    assert.deepEqual(small.rows, [{ run_id: 'things-3' }]);
    assert.deepEqual(
      removed.sort(),
      [
        ...['things-1/rejected', 'things-1/stage', 'things-2/rejected', 'things-2/stage'],
        ...['things-3/input', 'things-3/rejected', 'things-3/stage'],
        ...['things-5/input', 'things-5/rejected', 'things-5/stage'],
      ].map((path) => `acme/${path}`),
    );
    const events = (await audited()).map(
      ([action, run, detail]) => `${run} ${action} ${Object.keys(detail)}`,
    );
    assert.deepEqual(events.sort(), [
      'things-1 run.swept stages',
      ...['things-2 run.swept deadLetters', 'things-2 run.swept stages'],
      ...['things-3 run.swept deadLetters', 'things-3 run.swept inputObjects', 'things-3 run.swept stages'],
      'things-5 run.deleted endedAt,pipeline',
      ...['things-5 run.swept deadLetters', 'things-5 run.swept inputObjects'],
    ]);
    // Nothing is due until the next part is; the watermark outlives its run.
    assert.deepEqual(await sweep(), { runs: 0, more: false });
    const marks = await owner.query(`SELECT FROM waybill.watermark WHERE run_id = 'things-5'`);
    assert.equal(marks.rowCount, 1);
  });

  it('keeps the input while a rejected record lies in it', async () => {
    await keep({ ...forever, input: hourMs, deadLetters: 3 * hourMs });
    await addRun('things-2', 2 * hourMs, { object: { digest: 'input', offset: 0 } });
    await addRun('things-4', 4 * hourMs, { object: { digest: 'input', offset: 0 } });
    await sweep();
    assert.deepEqual(removed, ['acme/things-4/input']);
  });

  it('keeps a rejected record that waits for repair as long as the record of its run', async () => {
    await keep({ ...forever, deadLetters: hourMs, runs: 3 * hourMs });
    for (const letter of ['open', 'repaired', 'redriving', 'resolved', 'discarded'])
      await addRun(`things-${letter}`, 2 * hourMs, { letter });
    await sweep();
    const left = await owner.query('SELECT state FROM waybill.dead_letter ORDER BY state');
    assert.deepEqual(
      left.rows.map(({ state }) => state),
      ['open', 'redriving', 'repaired'],
    );
    await addRun('things-old', 4 * hourMs, { letter: 'open' });
    await sweep();
    assert.deepEqual(await kept('things-old'), []);
  });

  it('removes nothing of a run on which a legal hold lies, until it is lifted', async () => {
    await keep({ ...forever, runs: hourMs });
    await addRun('things-held', 2 * hourMs);
    await owner.query(
      `INSERT INTO waybill.legal_hold (tenant, run_id, reason) VALUES ('acme', 'things-held', 'case 1')`,
    );
    await sweep();
    assert.deepEqual([await kept('things-held'), removed], [tables, []]);
    await owner.query(`DELETE FROM waybill.legal_hold; UPDATE waybill.run SET sweep_at = now()`);
    await sweep();
    assert.deepEqual(await kept('things-held'), []);
  });

  it('follows the pipeline, then the project, and looks again at runs that have ended when either changes', async () => {
    await keep(forever);
    await addRun('things-1', 2 * hourMs);
    await sweep();
    assert.deepEqual(await kept('things-1'), tables);
    assert.equal(await keep(undefined, { ...forever, stages: hourMs }), true);
    assert.equal(await keep(undefined, { ...forever, stages: hourMs }), false);
    await sweep();
    assert.deepEqual(await kept('things-1'), without('stage'));
    await keep({ runs: hourMs }, { ...forever });
    await sweep();
    assert.deepEqual(await kept('things-1'), []);
  });

  it('goes on where a sweep was killed between the objects and the rows', async () => {
    await keep({ ...forever, runs: hourMs });
    await addRun('things-1', 2 * hourMs);
    const fails = { remove: () => Promise.reject(new Error('killed')) };
    await assert.rejects(sweepRuns({ sweeps: createRunSweeps(relay), objects: fails }), /killed/);
    assert.deepEqual(await kept('things-1'), without('dead_letter'));
    await sweep();
    assert.deepEqual([await kept('things-1'), removed.includes('acme/things-1/input')], [[], true]);
  });

  it('is bounded, and says that there is more', async () => {
    await keep({ ...forever, stages: hourMs });
    for (let n = 0; n < 51; n++) await addRun(`things-${n}`, 2 * hourMs);
    assert.deepEqual(await sweep(), { runs: 50, more: true });
    assert.deepEqual(await sweep(), { runs: 1, more: false });
  });

  it('objects that no record names are removed after an hour, step by step, unless their run goes on', async () => {
    await addRun('ended', hourMs);
    await addRun('open', null);
    const listed = [
      ...['input', 'stage', 'rejected', 'left'].map((digest) => ['ended', digest]),
      ...['left'].map((digest) => ['open', digest]),
      ...Array.from({ length: 1_000 }, (_, n) => ['never-accepted', String(n)]),
    ].map(([runId, digest], n) => ({
      key: `${String(n).padStart(4, '0')} ${runId} ${digest}`,
      ...{ runId: runId!, digest: digest!, sizeBytes: 10, writtenAtMs: n < 5 || n % 2 === 0 ? 0 : 3_000_000 },
    }));
    const gone = new Set<string>();
    const ports = {
      sweeps: createRunSweeps(relay),
      objects: {
        list: async (after: string, max: number) =>
          listed.filter(({ key }) => key > after && !gone.has(key)).slice(0, max),
        removeListed: async (keys: readonly string[]) => {
          for (const key of keys) gone.add(key);
        },
      },
      now: () => hourMs + 1_000,
    };
    assert.equal(await sweepOrphans(ports), true);
    assert.equal(await sweepOrphans(ports), false);
    const expected = listed.filter(
      ({ key, writtenAtMs }) => writtenAtMs === 0 && /ended left|never/.test(key),
    );
    assert.deepEqual(
      [...gone],
      expected.map(({ key }) => key),
    );
    const { rows } = await owner.query(
      `SELECT sum((detail ->> 'objects')::int)::int AS objects FROM waybill.audit_event WHERE action = 'objects.swept'`,
    );
    assert.equal(rows[0].objects, gone.size);
    assert.equal(await sweepOrphans(ports), false);
    assert.equal(gone.size, expected.length);
  });

  it('a plan says what another retention would change, and what is kept is counted by tenant', async () => {
    await keep({ ...forever, input: hourMs }, { runs: null });
    assert.deepEqual(await plan({ ...forever, input: hourMs }, { runs: null }), []);
    const [change, ...others] = await plan({ ...forever, input: 2 * hourMs }, { runs: null });
    assert.deepEqual(
      [change!.pipeline, change!.before!.input, change!.after!.input],
      ['things', hourMs, 2 * hourMs],
    );
    assert.deepEqual(others, []);
    assert.deepEqual(retentionLines([change!]).slice(2), ['  things: input 1h → 2h']);
    await addRun('kept', null);
    assert.deepEqual(await readKept(postgres.migratorUrl), [
      { tenant: 'acme', runs: 1, deadLetters: 1, batches: 1, inputBytes: 1 },
    ]);
  });
});
