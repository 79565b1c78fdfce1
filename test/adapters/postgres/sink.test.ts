import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createDeadLetters } from '../../../adapters/postgres/deadLetters/deadLetters.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { acceptingLocks } from '../../../adapters/postgres/ledger/storeTurn.ts';
import { credentialParams, isRevokedSql } from '../../../adapters/postgres/rights/revokedSql.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { defaultLimits, type Manifest, type SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { NewLetter } from '../../../domain/ports/deadLetters.ts';
import type { BatchToStore, Ledger } from '../../../domain/ports/ledger.ts';
import { revocationKinds, type StandingRevocation, voids } from '../../../domain/revocation.ts';
import { type Counts, imbalance, zeroCounts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { encodedRows, type PeopleRow, people } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const byDigest: SinkManifest = { ...people, table: 'names', key: 'row-digest' };

describe('sink', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let ledger: Ledger;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 4 });
    await applySinks(postgres.migratorUrl, [manifestOf(people), manifestOf(byDigest)]);
    ledger = createLedger(tenantsOf(pool));
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  let runs = 0;
  const staysOpen = new Set<string>();
  /** Accepts a run; a later call is a later run. */
  async function newRun(
    options: { open?: boolean; sink?: SinkManifest; tenant?: string; arrival?: 'open' } = {},
  ): Promise<string> {
    runs += 1;
    const id = `people-0197a3b4-0000-7000-8000-${runs.toString(16).padStart(12, '0')}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                requested_by, parameters, source, grant_jws, txn, arrival, ended_at)
       VALUES ($1, $2, 'people', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', $5, $4)`,
      [
        id,
        options.tenant ?? tenant,
        { sink: options.sink ?? people },
        options.open ? null : new Date(),
        options.arrival ?? 'sealed',
      ],
    );
    if (options.open) staysOpen.add(id);
    return id;
  }

  // Each test has a tenant of its own, which is also what keeps tenants apart.
  let tenant = 'acme';
  let tenants = 0;
  const fresh = () => {
    tenants += 1;
    tenant = `tenant-${tenants}`;
  };

  /** A run is open while it stores; afterwards it ends, unless it was asked to stay open. */
  async function whileOpen<T>(runId: string, work: () => Promise<T>): Promise<T> {
    await admin.query('UPDATE waybill.run SET ended_at = NULL WHERE id = $1', [runId]);
    try {
      return await work();
    } finally {
      if (!staysOpen.has(runId))
        await admin.query('UPDATE waybill.run SET ended_at = now() WHERE id = $1', [runId]);
    }
  }

  const store = (runId: string, seq: number, rows: PeopleRow[], more: Partial<BatchToStore> = {}) =>
    whileOpen(runId, () => ledger.storeBatch(loadOf(more.tenant ?? tenant, runId, seq, rows, more)));

  it('stores nothing for a run that has ended', async () => {
    fresh();
    const run = await newRun();
    await assert.rejects(ledger.storeBatch(loadOf(tenant, run, 0, [[1, 'late']])), { code: 'RunEnded' });
    assert.deepEqual(await values(), []);
  });

  it('stores nothing of an upload before its last byte', async () => {
    fresh();
    const run = await newRun({ arrival: 'open' });
    await assert.rejects(store(run, 0, [[1, 'early']]), { code: 'UploadIncomplete' });
    assert.deepEqual(await values(), []);
  });

  async function revoke(kind: string, target: string, ofTenant: string | null = tenant): Promise<void> {
    const id = `rev_${kind}_${target}_${ofTenant}`;
    const insert = 'INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ($1, $2, $3, $4)';
    await admin.query(insert, [id, kind, target, ofTenant]);
  }

  it('stores nothing under a right that was withdrawn after the step was let in', async () => {
    for (const revoked of ['principal', 'grant', 'key'] as const) {
      fresh();
      const run = await newRun();
      await store(run, 0, [[1, 'before']]);
      const key = `key of ${tenant}`;
      const credential = { tenant, principals: ['prn_1'], issuedAtS: 0, grants: [run], key };
      await revoke(
        revoked,
        { principal: 'prn_1', grant: run, key }[revoked],
        revoked === 'key' ? null : tenant,
      );
      const deadLetters: NewLetter[] = [];
      await assert.rejects(store(run, 1, [[2, 'after']], { credential, deadLetters }), {
        code: 'GrantRevoked',
      });
      assert.deepEqual(await values(), [[1, 'before']]);
      const { rows } = await admin.query('SELECT seq FROM waybill.ledger WHERE run_id = $1', [run]);
      assert.deepEqual(rows, [{ seq: 0 }]);
      // What is stored already stays so, and is told as it was.
      assert.equal((await store(run, 0, [[1, 'before']], { credential })).stored, 1);
      await admin.query(`UPDATE waybill.revocation SET lifted_at = now() WHERE target IN ('prn_1', $1, $2)`, [
        run,
        key,
      ]);
      assert.equal((await store(run, 1, [[2, 'after']], { credential })).stored, 1);
    }
  });

  it('stores nothing where the right is withdrawn while rows are written', async () => {
    fresh();
    const run = await newRun({ open: true });
    // Another transaction holds the row to replace, so that this transaction waits in the middle of its work.
    await store(await newRun(), 0, [[1, 'theirs']]);
    await admin.query('UPDATE waybill.run SET ended_at = NULL WHERE id = $1', [run]);
    const later = await newRun();
    const holder = await admin.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM people WHERE _tenant = $1 FOR UPDATE', [tenant]);
    const storing = store(later, 0, [[1, 'mine']]);
    const waits = async () =>
      (
        await admin.query(
          `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%people%' AND datname = current_database()`,
        )
      ).rowCount;
    while (!(await waits())) await new Promise((resolve) => setTimeout(resolve, 5));
    await revoke('grant', later);
    await holder.query('ROLLBACK');
    holder.release();
    await assert.rejects(storing, { code: 'GrantRevoked' });
    assert.deepEqual(await values(), [[1, 'theirs']]);
  });

  it('tells what is void as the rule does', async () => {
    const names = fc.constantFrom('a', 'b', 'c');
    const tenantNames = fc.constantFrom('void-1', 'void-2');
    const seconds = fc.integer({ min: 0, max: 3 });
    const revocations = fc.uniqueArray(
      fc.record({
        kind: fc.constantFrom(...revocationKinds),
        target: names,
        tenant: fc.option(tenantNames),
        until: fc.option(fc.integer({ min: 0, max: 3_999 })),
        lifted: fc.boolean(),
      }),
      {
        maxLength: 4,
        selector: ({ kind, target, tenant, until }) => [kind, target, tenant, until === null].join(),
      },
    );
    const credentials = fc.record({
      tenant: tenantNames,
      principals: fc.array(names, { minLength: 1, maxLength: 2 }),
      issuedAtS: seconds,
      grants: fc.array(names, { maxLength: 2 }),
      key: names,
    });
    await fc.assert(
      fc.asyncProperty(revocations, credentials, async (made, credential) => {
        const client = await admin.connect();
        try {
          await client.query('BEGIN; DELETE FROM waybill.revocation');
          const standing: StandingRevocation[] = [];
          for (const [i, { kind, target, tenant, until, lifted }] of made.entries()) {
            // A logout belongs to no tenant, and neither does a key, of which there is no logout.
            const everywhere = kind === 'key' || (kind === 'principal' && until !== null && tenant === null);
            const of = everywhere ? null : (tenant ?? 'void-1');
            const issuedUntil = until === null || kind === 'key' ? null : new Date(until).toISOString();
            const { rowCount } = await client.query(
              `INSERT INTO waybill.revocation (id, kind, target, tenant, issued_until, lifted_at)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
              [`void-${i}`, kind, target, of, issuedUntil, lifted ? new Date() : null],
            );
            if (rowCount && !lifted)
              standing.push({ id: `void-${i}`, kind, target, tenant: of, issuedUntil });
          }
          const { rows } = await client.query(
            sql(`SELECT ${isRevokedSql} AS void`, credentialParams(credential)),
          );
          assert.equal(
            rows[0].void,
            standing.some((one) => voids(one, credential)),
          );
        } finally {
          await client.query('ROLLBACK');
          client.release();
        }
      }),
      { numRuns: 300 },
    );
  });

  async function rowsOf(of = tenant) {
    const { rows } = await admin.query('SELECT id, name, xmin FROM people WHERE _tenant = $1 ORDER BY id', [
      of,
    ]);
    return rows;
  }
  const values = async (of = tenant) => (await rowsOf(of)).map(({ id, name }) => [id, name]);
  const landed = ({ stored, unchanged, deduplicated }: Counts) => ({ stored, unchanged, deduplicated });

  it('stores rows, their ledger entry, their dead letters and their audit event', async () => {
    fresh();
    const run = await newRun();
    const raw = Buffer.from('{"id":"\\u00e9"}');
    const deadLetters: NewLetter[] = [{ ...letter(7), raw }, letter(8)];
    const counts = await store(
      run,
      0,
      [
        [1, 'ada'],
        [2, null],
      ],
      { deadLetters },
    );
    assert.deepEqual(landed(counts), { stored: 2, unchanged: 0, deduplicated: 0 });
    assert.deepEqual(await values(), [
      [1, 'ada'],
      [2, null],
    ]);
    const ledger = await admin.query('SELECT counts FROM waybill.ledger WHERE run_id = $1', [run]);
    assert.deepEqual(ledger.rows, [{ counts }]);
    const letters = await admin.query(
      'SELECT position, code, raw, object FROM waybill.dead_letter WHERE run_id = $1 ORDER BY position',
      [run],
    );
    assert.deepEqual(letters.rows, [
      { position: '7', code: 'SchemaMismatch', raw, object: null },
      { position: '8', code: 'SchemaMismatch', raw: null, object: { digest: 'f'.repeat(64), offset: 12 } },
    ]);
    const audit = await admin.query(
      'SELECT action, detail FROM waybill.audit_event WHERE run_id = $1 ORDER BY id',
      [run],
    );
    const ids = await admin.query('SELECT id FROM waybill.dead_letter WHERE run_id = $1 ORDER BY position', [
      run,
    ]);
    assert.deepEqual(audit.rows, [
      { action: 'dead-letter.recorded', detail: { seq: 0, letters: ids.rows.map(({ id }) => id) } },
      { action: 'batch.stored', detail: { seq: 0, ...counts } },
    ]);
  });

  it('counts all rejections by code, also where there are more than ten thousand', async () => {
    fresh();
    const run = await newRun();
    const letters = (from: number, count: number): NewLetter[] =>
      Array.from({ length: count }, (_, i) => ({
        ...letter(from + i),
        code: (from + i) % 4 === 0 ? 'Odd' : 'SchemaMismatch',
        raw: Buffer.from('x'),
      }));
    await store(run, 0, [[1, 'a']], { deadLetters: letters(0, 8_000) });
    await store(run, 1, [[2, 'a']], { deadLetters: letters(8_000, 8_000) });
    await store(run, 1, [[2, 'a']], { deadLetters: letters(8_000, 8_000) });
    const counts = await createDeadLetters(tenantsOf(pool)).countByCode(tenant, run);
    assert.deepEqual(counts, { SchemaMismatch: 12_000, Odd: 4_000 });
    const { rows } = await admin.query(
      'SELECT count(*)::int AS n FROM waybill.dead_letter WHERE run_id = $1',
      [run],
    );
    assert.equal(rows[0].n, 16_000);
  });

  it('keeps 64 MiB of rejected records of a run, and of the others where they are', async () => {
    fresh();
    const run = await newRun();
    const raw = Buffer.alloc(64 * 1024, 'x');
    const letters = (from: number, count: number): NewLetter[] =>
      Array.from({ length: count }, (_, i) => ({ ...letter(from + i), raw }));
    await store(run, 0, [[1, 'a']], { deadLetters: letters(0, 600) });
    await store(run, 1, [[2, 'a']], { deadLetters: letters(600, 600) });
    await store(run, 2, [[3, 'a']], { deadLetters: letters(1_200, 1) });
    const { rows } = await admin.query(
      `SELECT count(raw)::int AS kept, sum(length(raw))::int AS bytes, min(position) FILTER (WHERE raw IS NULL) AS first,
              count(*) FILTER (WHERE (raw IS NULL) <> (object IS NULL))::int AS all
       FROM waybill.dead_letter WHERE run_id = $1`,
      [run],
    );
    assert.deepEqual(rows, [{ kept: 1_024, bytes: 64 * 1024 * 1024, first: '1024', all: 1_201 }]);
  });

  it('lets the run win that was accepted later, whatever the ids say', async () => {
    fresh();
    const insert = (id: string) =>
      admin.query(
        `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
                                  requested_by, parameters, source, grant_jws, txn, arrival)
         VALUES ($1, $2, 'people', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed')`,
        [id, tenant, { sink: people }],
      );
    const began = (n: number) =>
      `people-0197a3b4-0000-7000-9000-${(runs + n).toString(16).padStart(12, '0')}`;
    runs += 3;
    // The upload of the first began first and was accepted last.
    const [slow, quick] = [began(1), began(2)];
    await insert(quick);
    await insert(slow);
    assert.equal((await ledger.storeBatch(loadOf(tenant, quick, 0, [[1, 'quick']]))).stored, 1);
    const counts = await ledger.storeBatch(loadOf(tenant, slow, 0, [[1, 'slow']]));
    assert.deepEqual([counts.stored, counts.deduplicated], [1, 0]);
    assert.deepEqual(await values(), [[1, 'slow']]);
    const late = await ledger.storeBatch(loadOf(tenant, quick, 1, [[1, 'quick again']]));
    assert.deepEqual([late.stored, late.deduplicated], [0, 1]);
    assert.deepEqual(await values(), [[1, 'slow']]);
  });

  it('waits for acceptances under way, since one of them may be the earlier run', async () => {
    fresh();
    const run = await newRun();
    const accepting = await admin.connect();
    await accepting.query('BEGIN');
    await accepting.query('SELECT pg_advisory_xact_lock_shared($1)', acceptingLocks(tenant, people));
    let stored = false;
    const storing = store(run, 0, [[1, 'a']]).then(() => {
      stored = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(stored, false);
    await accepting.query('COMMIT');
    accepting.release();
    await storing;
  });

  it('stores nothing twice when it is asked again', async () => {
    fresh();
    const run = await newRun();
    const first = await store(run, 0, [[1, 'ada']], {
      deadLetters: [{ ...letter(3), raw: Buffer.from('x') }],
    });
    const [before_] = await rowsOf();
    assert.deepEqual(
      await store(run, 0, [
        [1, 'changed'],
        [2, 'new'],
      ]),
      first,
    );
    assert.deepEqual(await rowsOf(), [before_]);
    const { rows } = await admin.query(
      'SELECT count(*)::int AS n FROM waybill.audit_event WHERE run_id = $1',
      [run],
    );
    assert.deepEqual(rows, [{ n: 2 }], 'one event for the batch and one for its rejected record');
  });

  it('lets a zombie and its retry race on one batch, and stores it once', async () => {
    fresh();
    const run = await newRun();
    const batch: PeopleRow[] = Array.from({ length: 500 }, (_, i) => [i, `name ${i}`]);
    const answers = await Promise.all([1, 2, 3, 4].map(() => store(run, 0, batch)));
    for (const answer of answers)
      assert.deepEqual(landed(answer), { stored: 500, unchanged: 0, deduplicated: 0 });
    const { rows } = await admin.query('SELECT count(*)::int AS n FROM waybill.ledger WHERE run_id = $1', [
      run,
    ]);
    assert.deepEqual(rows, [{ n: 1 }]);
  });

  it('tells everyone who waits for the run', async () => {
    fresh();
    const listener = new pg.Client(postgres.workerUrl);
    await listener.connect();
    await listener.query('LISTEN waybill_run');
    const heard = new Promise<string | undefined>((resolve) =>
      listener.once('notification', (n) => resolve(n.payload)),
    );
    const run = await newRun();
    await store(run, 0, []);
    assert.equal(await heard, run);
    await listener.end();
  });

  it('counts a key in two batches of one run once as stored; the later place wins', async () => {
    fresh();
    const run = await newRun();
    await store(run, 0, [
      [1, 'early'],
      [2, 'same'],
    ]);
    const second = await store(run, 1, [
      [1, 'late'],
      [2, 'same'],
    ]);
    assert.deepEqual(landed(second), { stored: 0, unchanged: 0, deduplicated: 2 });
    assert.deepEqual(await values(), [
      [1, 'late'],
      [2, 'same'],
    ]);
  });

  it('lets the later run win, whichever commits first', async () => {
    fresh();
    const [older, newer] = [await newRun(), await newRun()];
    await store(newer, 0, [[1, 'newer']]);
    assert.deepEqual(
      landed(
        await store(older, 0, [
          [1, 'older'],
          [2, 'older'],
        ]),
      ),
      { stored: 1, unchanged: 0, deduplicated: 1 },
    );
    assert.deepEqual(await values(), [
      [1, 'newer'],
      [2, 'older'],
    ]);
    assert.deepEqual(landed(await store(newer, 1, [[2, 'newer']])), {
      stored: 1,
      unchanged: 0,
      deduplicated: 0,
    });
    assert.deepEqual(await values(), [
      [1, 'newer'],
      [2, 'newer'],
    ]);
  });

  it('does not rewrite a row that is equal', async () => {
    fresh();
    await store(await newRun(), 0, [
      [1, 'ada'],
      [2, null],
      [3, 'old'],
    ]);
    const before_ = await rowsOf();
    const counts = await store(await newRun(), 0, [
      [1, 'ada'],
      [2, null],
      [3, 'new'],
    ]);
    assert.deepEqual(landed(counts), { stored: 1, unchanged: 2, deduplicated: 0 });
    assert.deepEqual((await rowsOf()).slice(0, 2), before_.slice(0, 2));
  });

  it('does not let an older run that is still open overwrite what a later one found equal', async () => {
    fresh();
    const [first, open] = [await newRun(), await newRun({ open: true })];
    await store(first, 0, [[1, 'ada']]);
    const latest = await newRun();
    assert.deepEqual(landed(await store(latest, 0, [[1, 'ada']])), {
      stored: 0,
      unchanged: 1,
      deduplicated: 0,
    });
    assert.deepEqual(landed(await store(open, 0, [[1, 'stale']])), {
      stored: 0,
      unchanged: 0,
      deduplicated: 1,
    });
    assert.deepEqual(await values(), [[1, 'ada']]);
  });

  it('keeps the rows of two tenants with one key apart', async () => {
    fresh();
    const [ours, theirs] = [await newRun(), await newRun({ tenant: 'globex' })];
    await store(ours, 0, [[1, 'ours']]);
    await store(theirs, 0, [[1, 'theirs']], { tenant: 'globex' });
    assert.deepEqual([await values(), await values('globex')], [[[1, 'ours']], [[1, 'theirs']]]);
  });

  it('stores equal rows once where the digest is the key', async () => {
    fresh();
    const run = await newRun({ sink: byDigest });
    const digests = ['d1', 'd2'];
    const rows: PeopleRow[] = [
      [1, 'a'],
      [2, 'b'],
    ];
    const first = await store(run, 0, rows, { sink: byDigest, digests } as Partial<BatchToStore>);
    assert.deepEqual(landed(first), { stored: 2, unchanged: 0, deduplicated: 0 });
    const again = await store(run, 1, rows, { sink: byDigest, digests } as Partial<BatchToStore>);
    assert.deepEqual(landed(again), { stored: 0, unchanged: 0, deduplicated: 2 });
    const other = await store(await newRun(), 0, rows, { sink: byDigest, digests } as Partial<BatchToStore>);
    assert.deepEqual(landed(other), { stored: 0, unchanged: 2, deduplicated: 0 });
  });

  it('stores all of a batch or nothing, and names no value', async () => {
    fresh();
    const run = await newRun();
    const refused = store(run, 0, [
      [1, 'ada'],
      ['secret' as never, 'x'],
    ]);
    await assert.rejects(refused, (error: Error & { code: string; detail: string }) => {
      assert.equal(error.code, 'SinkRejected');
      assert.ok(!error.detail.includes('secret') && error.cause === undefined, error.detail);
      return true;
    });
    assert.deepEqual(await values(), []);
    assert.deepEqual(landed(await store(run, 0, [[1, 'ada']])), { stored: 1, unchanged: 0, deduplicated: 0 });
  });

  it('names what is missing, and says when waiting helps', async () => {
    fresh();
    const run = await newRun();
    const absent = store(run, 0, [[1, 'x']], { sink: { ...people, table: 'absent' } });
    await assert.rejects(absent, { code: 'SinkIncompatible' });
    const away = new pg.Pool({ host: '127.0.0.1', port: 1 });
    await assert.rejects(createLedger(tenantsOf(away)).storeBatch(loadOf(tenant, run, 0, [])), {
      code: 'DatabaseUnavailable',
    });
  });

  it('gives way when its session is ended, and can be asked again', async () => {
    fresh();
    const run = await newRun();
    const blocker = await admin.connect();
    await blocker.query('BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE');
    const stuck = store(run, 0, [[1, 'x']]);
    stuck.catch(() => {});
    for (;;) {
      const { rows } = await admin.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'waybill_worker'
            AND datname = current_database()`,
      );
      if (rows.length > 0) break;
    }
    await assert.rejects(stuck, { code: 'DatabaseUnavailable' });
    await blocker.query('ROLLBACK');
    blocker.release();
    assert.deepEqual(landed(await store(run, 0, [[1, 'x']])), { stored: 1, unchanged: 0, deduplicated: 0 });
  });

  it('always adds up, and ends as if every row had been written in source order', async () => {
    const row = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.option(fc.constantFrom('a', 'b')));
    const step = fc.record({ run: fc.nat(2), rows: fc.array(row, { maxLength: 4 }), again: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.boolean(), async (steps, open) => {
        fresh();
        const ids = [await newRun({ open }), await newRun({ open }), await newRun({ open })];
        const seqs = [0, 0, 0];
        const model = new Map<number, { run: number; name: string | null }>();
        for (const { run, rows, again } of steps) {
          const seq = seqs[run]!++;
          const counts = await store(ids[run]!, seq, rows);
          assert.equal(imbalance(counts), undefined);
          if (again) assert.deepEqual(await store(ids[run]!, seq, rows), counts);
          for (const [id, name] of rows) {
            if ((model.get(id)?.run ?? -1) <= run) model.set(id, { run, name });
          }
        }
        // While runs are closed, an equal row keeps its older origin, and an older run may still store late.
        if (!open) return;
        const expected = [...model]
          .map(([id, { name }]) => [id, name])
          .sort(([a], [b]) => Number(a) - Number(b));
        assert.deepEqual(await values(), expected);
      }),
      { numRuns: 60 },
    );
  });

  describe('table', () => {
    const apply = (...sinks: SinkManifest[]) => applySinks(postgres.migratorUrl, sinks.map(manifestOf));
    const columns = async (table: string) => {
      const { rows } = await admin.query(
        `SELECT column_name || ' ' || data_type || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END AS c
           FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position`,
        [table],
      );
      return rows.map((r) => r.c);
    };

    it('is created with every type, also by two at once', async () => {
      const types = [
        'text',
        'integer',
        'bigint',
        'double precision',
        'numeric',
        'boolean',
        'timestamptz',
        'date',
        'time',
        'uuid',
        'jsonb',
      ] as const;
      const all: SinkManifest = {
        ...people,
        table: 'every_type',
        key: ['c0'],
        columns: types.map((type, i) => ({ name: `c${i}`, type, nullable: i > 0 })),
      };
      await Promise.all([apply(all), apply(all)]);
      await apply(all);
      assert.equal((await columns('every_type')).length, types.length + 4);
    });

    it('is widened, and never loses a column', async () => {
      const v1: SinkManifest = {
        ...people,
        table: 'growing',
        columns: [
          ...people.columns,
          { name: 'n', type: 'integer', nullable: false },
          { name: 'gone', type: 'text', nullable: false },
        ],
      };
      await apply(v1);
      const v2: SinkManifest = {
        ...v1,
        columns: [
          ...people.columns,
          { name: 'n', type: 'numeric', nullable: true },
          { name: 'New "one"', type: 'jsonb', nullable: false },
        ],
      };
      await apply(v2, v2);
      assert.deepEqual(await columns('growing'), [
        '_tenant text NOT NULL',
        'id integer NOT NULL',
        'name text',
        'n numeric',
        'gone text',
        '_run text NOT NULL',
        '_position bigint NOT NULL',
        '_order bigint NOT NULL',
        'New "one" jsonb',
      ]);
    });

    it('stays wide when the output becomes narrow again', async () => {
      const wide: SinkManifest = {
        ...people,
        table: 'wide',
        columns: [people.columns[0]!, { name: 'n', type: 'bigint', nullable: true }],
      };
      await apply(wide);
      await apply({
        ...wide,
        columns: [people.columns[0]!, { name: 'n', type: 'integer', nullable: false }],
      });
      assert.deepEqual((await columns('wide'))[2], 'n bigint');
    });

    it('names what differs where it cannot be widened', async () => {
      await apply({ ...people, table: 'fixed' });
      const other: SinkManifest = {
        ...people,
        table: 'fixed',
        columns: [{ name: 'id', type: 'uuid', nullable: false }, people.columns[1]!],
      };
      await assert.rejects(apply(other), {
        code: 'SinkIncompatible',
        detail: /^table fixed: column id is integer, not uuid; name another table/,
      });
      await assert.rejects(apply({ ...people, table: 'fixed', key: ['id', 'name'] }), {
        code: 'SinkIncompatible',
        detail: /^table fixed: its key is \(_tenant, id\), not \(_tenant, id, name\); name another table/,
      });
    });

    it('is left alone where Waybill did not make it', async () => {
      await admin.query('CREATE TABLE public.foreign_one (id integer PRIMARY KEY, name text)');
      await assert.rejects(apply({ ...people, table: 'foreign_one' }), { code: 'SinkIncompatible' });
    });

    it('cannot be changed, and no row of it deleted, by a worker', async () => {
      await assert.rejects(pool.query('DELETE FROM people'), { code: '42501' });
      await assert.rejects(pool.query('ALTER TABLE people ADD COLUMN x text'), { code: '42501' });
    });
  });
});

function manifestOf(sink: SinkManifest): Manifest {
  return {
    id: sink.table,
    version: 1,
    labels: {},
    source: { kind: 'inline' },
    sink,
    limits: defaultLimits,
    deadlineMs: 1000,
  };
}

function letter(position: number): Omit<NewLetter, 'raw'> {
  return {
    position,
    line: position + 1,
    byteOffset: position * 10,
    byteLength: 9,
    stage: 'validate',
    code: 'SchemaMismatch',
    path: 'id',
    message: 'no',
    object: { digest: 'f'.repeat(64), offset: 12 },
  };
}

/** Rows as `encode` would hand them over: the last of a key wins within the batch. Positions follow seq. */
function loadOf(
  tenant: string,
  runId: string,
  seq: number,
  all: PeopleRow[],
  more: Partial<BatchToStore> & { digests?: string[] } = {},
): BatchToStore {
  const { digests, ...rest } = more;
  const kept = [...new Map(all.map((row, i) => [row[0], [row, seq * 1000 + i] as const])).values()];
  return {
    tenant,
    runId,
    principal: 'prn_1',
    credential: { tenant, principals: ['prn_1'], issuedAtS: 0, grants: [runId], key: 'key_1' },
    pipeline: 'people',
    version: 1,
    seq,
    sink: people,
    rows: encodedRows(
      kept.map(([[id, name], position], i) => [id, name, ...(digests ? [digests[i]!] : []), position]),
      all.length,
    ),
    counts: { ...zeroCounts, read: all.length, passed: all.length, emitted: all.length },
    deadLetters: [],
    lettersOf: async () => [],
    audit: (counts) => ({
      action: 'batch.stored',
      outcome: 'success',
      tenant,
      actor: null,
      runId,
      txn: null,
      detail: { seq, ...counts },
    }),
    ...rest,
  };
}
