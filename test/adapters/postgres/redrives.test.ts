import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createDeadLetters } from '../../../adapters/postgres/deadLetters/deadLetters.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { createLimits } from '../../../adapters/postgres/limits.ts';
import { createRunAcceptance } from '../../../adapters/postgres/runs/acceptance.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { defaultLimits, type Manifest, type SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { RunAcceptance } from '../../../domain/ports/acceptance.ts';
import type { DeadLetters } from '../../../domain/ports/deadLetters.ts';
import type { BatchToStore, Ledger } from '../../../domain/ports/ledger.ts';
import type { RunStates } from '../../../domain/ports/runs.ts';
import { zeroCounts } from '../../../domain/runs/run.ts';
import { encodedRows } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

/** Keeps every row, so that a record that is stored twice is seen. */
const kept: SinkManifest = {
  kind: 'postgres',
  table: 'kept',
  mode: 'append',
  columns: [{ name: 'id', type: 'integer', nullable: false }],
};
const manifest: Manifest = {
  ...{ id: 'kept', version: 1, labels: {}, source: { kind: 'inline' }, sink: kept },
  ...{ limits: defaultLimits, deadlineMs: 1000 },
};

const lettersMax = 6;
const principals = ['prn_alice', 'prn_bob'];

/** What one of two principals, or a worker, does next. `crash`: the transaction ends before it commits. */
type Act =
  | { kind: 'edit'; by: number; letter: number }
  | { kind: 'discard'; by: number; letter: number }
  | { kind: 'redrive'; by: number; letters: number[]; stale: boolean }
  | { kind: 'store'; run: number; rejects: number[]; crash: boolean; twice: boolean }
  | { kind: 'end'; run: number };

const letterArb = fc.nat(lettersMax - 1);
const by = fc.nat(1);
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constant('edit' as const), by, letter: letterArb }),
  { arbitrary: fc.record({ kind: fc.constant('discard' as const), by, letter: letterArb }), weight: 1 },
  {
    arbitrary: fc.record({
      kind: fc.constant('redrive' as const),
      by,
      letters: fc.uniqueArray(letterArb, { minLength: 1 }),
      stale: fc.boolean(),
    }),
    weight: 4,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant('store' as const),
      run: fc.nat(2),
      rejects: fc.uniqueArray(letterArb),
      crash: fc.boolean(),
      twice: fc.boolean(),
    }),
    weight: 4,
  },
  { arbitrary: fc.record({ kind: fc.constant('end' as const), run: fc.nat(2) }), weight: 2 },
);

describe('edits and redrives of two principals, in any order and with crashes', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let api: pg.Pool;
  let worker: pg.Pool;
  let letters: DeadLetters;
  let acceptance: RunAcceptance;
  let ledger: Ledger;
  let states: RunStates;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
    api = new pg.Pool({ connectionString: postgres.apiUrl, max: 4 });
    worker = new pg.Pool({ connectionString: postgres.workerUrl, max: 6 });
    await applySinks(postgres.migratorUrl, [manifest]);
    letters = createDeadLetters(tenantsOf(api));
    acceptance = createRunAcceptance(tenantsOf(api), createLimits(tenantsOf(api)));
    ledger = createLedger(tenantsOf(worker));
    states = createRunStates(tenantsOf(worker));
  });
  after(async () => {
    await Promise.all([api, worker, admin].map((pool) => pool?.end()));
    await postgres?.stop();
  });

  let worlds = 0;

  /** A tenant of its own with a run that rejected a few records. */
  async function newWorld() {
    worlds += 1;
    const tenant = `tenant-${worlds}`;
    const origin = `kept-origin-${worlds}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                parameters, source, grant_jws, txn, arrival, ended_at)
       VALUES ($1, $2, 'kept', 1, 'd', '{"sink": {"table": "kept"}}', 'completed', 'prn_alice', '{}', '{}',
               '{"kind": "inline"}', 'g', 't', 'sealed', now())`,
      [origin, tenant],
    );
    await admin.query(
      `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                        byte_length, stage, code, path, message, raw)
       SELECT 'dl ' || $2 || ' ' || i, $2, $1, 'kept', 1, 'prn_alice', 0, i, i + 1, 0, 1, 'validate', 'c', '', 'm', 'x'
       FROM generate_series(0, ${lettersMax - 1}) i`,
      [origin, tenant],
    );
    return { tenant, origin, runs: [] as { id: string; by: string; letters: number[] }[] };
  }
  type World = Awaited<ReturnType<typeof newWorld>>;

  const idOf = ({ tenant }: World, letter: number) => `dl ${tenant} ${letter}`;
  const auditOf = (world: World, id: string, by: string, action = 'run.accepted') => ({
    ...{
      action,
      outcome: 'success' as const,
      tenant: world.tenant,
      actor: { id: by, kind: 'person' as const },
    },
    ...{ runId: id, txn: 't', detail: {} },
  });
  const credentialOf = (world: World, by: string, run: string) => ({
    ...{ tenant: world.tenant, principals: [by], issuedAtS: 0, grants: [run], key: 'key_1' },
  });

  async function edit(world: World, by: string, letter: number): Promise<void> {
    const [read] = await letters.pick(world.tenant, { ids: [idOf(world, letter)] }, { limit: 1 });
    const change = {
      ...{ id: read!.id, revision: read!.revision, form: 'raw' as const, version: 1 },
      ...{ bytes: Buffer.from(by), before: 'b', after: 'a' },
    };
    await letters.repair(
      world.tenant,
      [change],
      { id: by, kind: 'person' },
      auditOf(world, world.origin, by),
    );
  }

  async function discard(world: World, by: string, letter: number): Promise<void> {
    const [read] = await letters.pick(world.tenant, { ids: [idOf(world, letter)] }, { limit: 1 });
    await letters.discard(
      world.tenant,
      [read!],
      { id: by, kind: 'person' },
      'why',
      auditOf(world, world.origin, by),
    );
  }

  /** Of letters as they were read a moment ago, or long before. */
  async function redrive(world: World, by: string, chosen: number[], stale: boolean): Promise<void> {
    const read = await letters.pick(
      world.tenant,
      { ids: chosen.map((letter) => idOf(world, letter)) },
      { limit: lettersMax },
    );
    const id = `kept-${uuidv7()}`;
    const position = (one: string) => Number(one.split(' ').at(-1));
    const claimed = read.map((one) => ({ id: one.id, revision: stale ? 1 : one.revision }));
    const requestedBy = { id: by, issuer: 'i', subject: by, kind: 'person' as const };
    try {
      await acceptance.accept({
        ...{ runId: id, manifest, definitionDigest: 'd', tenant: world.tenant, requestedBy, parameters: {} },
        credential: credentialOf(world, by, id),
        ...{
          source: { kind: 'deadLetters' },
          grant: 'g',
          txn: 't',
          callback: null,
          batches: [],
          sealed: true,
        },
        letters: claimed,
        audit: auditOf(world, id, by),
      });
      world.runs.push({ id, by, letters: claimed.map((one) => position(one.id)) });
    } catch (error) {
      assert.equal((error as { code: string }).code, 'DeadLettersChanged');
    }
  }

  async function store(
    world: World,
    run: World['runs'][number],
    rejects: number[],
    crash: boolean,
  ): Promise<void> {
    const passed = run.letters.filter((letter) => !rejects.includes(letter));
    const rejected = run.letters.flatMap((letter, position) => (rejects.includes(letter) ? [position] : []));
    const at = {
      line: 1,
      byteOffset: 0,
      byteLength: 1,
      path: '',
      message: 'again',
      object: { digest: 'd', offset: 0 },
    };
    let asked = 0;
    const batch: BatchToStore = {
      ...{
        tenant: world.tenant,
        runId: run.id,
        principal: run.by,
        pipeline: 'kept',
        version: 1,
        seq: 0,
        sink: kept,
      },
      credential: credentialOf(world, run.by, run.id),
      rows: encodedRows(
        passed.map((letter) => [letter, run.letters.indexOf(letter)]),
        passed.length,
      ),
      counts: {
        ...zeroCounts,
        ...{
          read: run.letters.length,
          passed: passed.length,
          rejected: rejected.length,
          emitted: passed.length,
        },
      },
      settlesLetters: true,
      deadLetters: rejected.map((position) => ({ ...at, position, code: 'again', stage: 'validate' })),
      lettersOf: async () => [],
      audit: () => {
        // The last time is in the statement of the ledger, when the rows are written and the letters settled.
        asked += 1;
        if (crash && asked === 2) throw new Error('crash');
        return auditOf(world, run.id, run.by, 'batch.stored');
      },
    };
    await ledger.storeBatch(batch).catch((error) => {
      const known = crash ? ['RunEnded', 'Internal'] : ['RunEnded'];
      assert.ok(known.includes(error.code), String(error));
    });
  }

  async function end(world: World, run: World['runs'][number]): Promise<void> {
    const ref = { tenant: world.tenant, runId: run.id, principal: run.by };
    await states.end(ref, () => ({
      outcome: { state: 'failed', counts: zeroCounts },
      audit: auditOf(world, run.id, run.by, 'run.failed'),
      movesWatermark: false,
    }));
  }

  async function perform(world: World, one: Act): Promise<void> {
    if (one.kind === 'edit') return edit(world, principals[one.by]!, one.letter);
    if (one.kind === 'discard') return discard(world, principals[one.by]!, one.letter);
    if (one.kind === 'redrive') return redrive(world, principals[one.by]!, one.letters, one.stale);
    const run = world.runs[one.run];
    if (!run) return;
    if (one.kind === 'end') return end(world, run);
    const times = one.twice ? 2 : 1;
    await Promise.all(Array.from({ length: times }, () => store(world, run, one.rejects, one.crash)));
  }

  async function check(world: World): Promise<void> {
    const { rows } = await admin.query(
      `SELECT d.position::integer AS letter, d.state, d.attempt, d.edit, d.redrive_run, d.raw,
              (SELECT count(*)::integer FROM public.kept k WHERE k._tenant = d.tenant AND k.id = d.position) AS stored,
              (SELECT r.ended_at IS NULL FROM waybill.run r WHERE r.id = d.redrive_run) AS open
       FROM waybill.dead_letter d WHERE d.tenant = $1 ORDER BY 1`,
      [world.tenant],
    );
    assert.equal(rows.length, lettersMax);
    for (const { letter, state, stored, open, edit, raw } of rows) {
      assert.equal(
        stored,
        state === 'resolved' ? 1 : 0,
        `letter ${letter} is ${state} and stored ${stored} times`,
      );
      assert.equal(raw.toString(), 'x', 'its bytes never change');
      if (state === 'redriving') assert.equal(open, true, 'an open run has it');
      if (state === 'repaired') assert.ok(edit);
    }
    const counted = await admin.query(
      `SELECT state, sum(letters)::integer AS n FROM waybill.dead_letter_group WHERE tenant = $1 GROUP BY 1 ORDER BY 1`,
      [world.tenant],
    );
    const really = await admin.query(
      `SELECT state, count(*)::integer AS n FROM waybill.dead_letter WHERE tenant = $1 GROUP BY 1 ORDER BY 1`,
      [world.tenant],
    );
    assert.deepEqual(counted.rows, really.rows);
  }

  it('store each record at most once, and the state of each letter says the truth', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 14 }), fc.boolean(), async (acts, atOnce) => {
        const world = await newWorld();
        if (atOnce) {
          // Three at a time.
          for (let i = 0; i < acts.length; i += 3)
            await Promise.all(acts.slice(i, i + 3).map((one) => perform(world, one)));
        } else {
          for (const one of acts) await perform(world, one);
        }
        await check(world);
      }),
      { numRuns: 60, endOnFailure: true },
    );
    const { rows } = await admin.query(
      `SELECT state, count(*)::integer AS n FROM waybill.dead_letter GROUP BY 1 HAVING count(*) > 5`,
    );
    assert.equal(rows.length, 5, `each state is reached: ${JSON.stringify(rows)}`);
  });

  it('does not store without the claim: a letter that another run has fails the whole batch', async () => {
    const world = await newWorld();
    await redrive(world, 'prn_alice', [0, 1], false);
    const [run] = world.runs;
    await admin.query(`UPDATE waybill.dead_letter SET state = 'open' WHERE id = $1`, [idOf(world, 1)]);
    await assert.rejects(store(world, run!, [], false), /A step returned a result|StepResultInvalid/);
    const { rows } = await admin.query(`SELECT FROM public.kept WHERE _tenant = $1`, [world.tenant]);
    assert.equal(rows.length, 0);
  });

  /** The letters of the run at its end, each a batch of its own; `between` is awaited before the second. */
  async function publish(
    world: World,
    run: World['runs'][number],
    { sink = kept, rejects = [] as number[], between = async () => {}, by = ledger } = {},
  ): ReturnType<Ledger['publishRun']> {
    const at = { line: 1, byteOffset: 0, byteLength: 1, path: '', message: 'again' };
    return by.publishRun({
      ...{ tenant: world.tenant, runId: run.id, principal: run.by, pipeline: 'kept', version: 1, sink },
      credential: credentialOf(world, run.by, run.id),
      ...{ settlesLetters: true, movesWatermark: false, approval: undefined, approvers: [] },
      permits: () => true,
      async *batches() {
        for (const [seq, letter] of run.letters.entries()) {
          if (seq === 1) await between();
          const fits = rejects.includes(letter) ? 0 : 1;
          const object = { digest: 'd', offset: 0 };
          yield {
            ...{ seq, first: seq, rows: encodedRows(fits ? [[letter, seq]] : [], fits) },
            counts: { ...zeroCounts, read: 1, passed: fits, rejected: 1 - fits, emitted: fits },
            deadLetters: fits ? [] : [{ ...at, object, position: seq, code: 'again', stage: 'validate' }],
          };
        }
      },
      audit: () => auditOf(world, run.id, run.by, 'run.published'),
    });
  }

  const statesOf = async (world: World) =>
    (
      await admin.query('SELECT state FROM waybill.dead_letter WHERE tenant = $1 ORDER BY position', [
        world.tenant,
      ])
    ).rows.map(({ state }) => state);

  it('are published at the same time, though both settle letters of one run, in another order', async () => {
    const world = await newWorld();
    for (const [letter, code] of ['a', 'b', 'b', 'a'].entries())
      await admin.query('UPDATE waybill.dead_letter SET code = $2 WHERE id = $1', [
        idOf(world, letter),
        code,
      ]);
    await redrive(world, 'prn_alice', [0, 1], false);
    await redrive(world, 'prn_bob', [2, 3], false);
    let arrived = 0;
    const both = Promise.withResolvers<void>();
    const between = () => {
      if (++arrived === 2) both.resolve();
      return both.promise;
    };
    // Of two workers, each of which publishes one run at a time.
    const ledgers = [ledger, createLedger(tenantsOf(worker))];
    const done = await Promise.all(
      world.runs.map((run, i) => publish(world, run, { between, by: ledgers[i]! })),
    );
    assert.deepEqual(
      done.map(({ outcome }) => outcome),
      ['published', 'published'],
    );
    assert.deepEqual(await statesOf(world), [...Array(4).fill('resolved'), 'open', 'open']);
    await check(world);
  });

  it('hold up neither edits nor the end of their run while rows are prepared', async () => {
    const world = await newWorld();
    await redrive(world, 'prn_alice', [0, 1], false);
    const [run] = world.runs;
    const between = async () => {
      await edit(world, 'prn_bob', 3);
      await end(world, run!);
    };
    await assert.rejects(publish(world, run!, { between }), { code: 'RunEnded' });
    assert.deepEqual(await statesOf(world), ['open', 'open', 'open', 'repaired', 'open', 'open']);
    await check(world);
  });

  it('settle each letter once where rows become files, however often it is asked for', async () => {
    const world = await newWorld();
    const sink: SinkManifest = { ...kept, kind: 'objectFiles', table: 's3://lake/kept/', atEnd: 'append' };
    await redrive(world, 'prn_alice', [0, 1, 2], false);
    const [run] = world.runs;
    const first = await publish(world, run!, { sink, rejects: [1] });
    const second = await publish(world, run!, { sink, rejects: [1] });
    assert.deepEqual(second, first);
    assert.ok(first.outcome === 'published');
    assert.deepEqual([first.counts.read, first.counts.stored, first.counts.rejected], [3, 2, 1]);
    assert.deepEqual((await statesOf(world)).slice(0, 4), ['resolved', 'open', 'resolved', 'open']);
    await end(world, run!);
    await redrive(world, 'prn_bob', [1], false);
    await publish(world, world.runs[1]!, { sink });
    assert.equal((await statesOf(world))[1], 'resolved');
  });

  it('publish nothing where one of their letters is not theirs', async () => {
    const world = await newWorld();
    await redrive(world, 'prn_alice', [0, 1], false);
    await admin.query(`UPDATE waybill.dead_letter SET state = 'open' WHERE id = $1`, [idOf(world, 1)]);
    await assert.rejects(publish(world, world.runs[0]!), { code: 'StepResultInvalid' });
    assert.equal((await admin.query('SELECT FROM kept WHERE _tenant = $1', [world.tenant])).rowCount, 0);
  });

  /** As a process of that role would, for the tenant. Resolves with how many letters have changed. */
  async function update(pool: pg.Pool, { tenant }: World, id: string, set: string): Promise<number> {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('waybill.tenant', $1, true)`, [tenant]);
      const { rowCount } = await client.query(`UPDATE waybill.dead_letter SET ${set} WHERE id = $1`, [id]);
      return rowCount!;
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  it('change the state of letters along their life only, whatever a process of either role asks for', async () => {
    const [world, other] = [await newWorld(), await newWorld()];
    await redrive(world, 'prn_alice', [0], false);
    await redrive(world, 'prn_bob', [5], false);
    const [run, ended] = world.runs as [World['runs'][number], World['runs'][number]];
    await end(world, ended);
    await discard(world, 'prn_bob', 4);
    const claimed = (id: string) => `state = 'redriving', redrive_run = '${id}'`;
    const wrong: [pg.Pool, string, number, string][] = [
      ...[`state = 'resolved'`, `state = 'open', code = 'x'`, `state = 'discarded'`].map(
        (set): [pg.Pool, string, number, string] => [worker, 'a letter that no run has', 1, set],
      ),
      [worker, 'what a redrive has left', 5, `state = 'resolved'`],
      [worker, 'a discarded letter', 4, `state = 'open'`],
      [worker, 'a letter under way', 0, `state = 'discarded'`],
      [worker, 'a letter under way', 0, `state = 'repaired'`],
      [worker, 'its run', 0, `redrive_run = '${ended.id}'`],
      [worker, 'its edit', 0, `edit = 'x', edit_form = 'raw', edit_version = 1`],
      [worker, 'its bytes', 0, `raw = 'x'`],
      [api, 'a letter under way', 0, `state = 'resolved'`],
      [api, 'a letter under way', 0, `state = 'open'`],
      [api, 'what was approved', 0, `edit = 'x', edit_form = 'raw', edit_version = 1`],
      [api, 'another run for it', 0, `redrive_run = '${ended.id}'`],
      [api, 'an open letter', 1, `state = 'resolved'`],
      [api, 'a discarded letter', 4, `state = 'open'`],
      [api, 'a run of no letters', 1, claimed(world.origin)],
      [api, 'a run that has ended', 1, claimed(ended.id)],
      [api, 'a run of another tenant', 1, claimed(`${other.origin}`)],
      [api, 'its bytes', 1, `raw = 'x'`],
      [api, 'its reason', 1, `code = 'x'`],
    ];
    for (const [pool, what, letter, set] of wrong)
      await assert.rejects(
        update(pool, world, idOf(world, letter), set),
        { code: '42501' },
        `${what}: ${set}`,
      );
    for (const pool of [api, worker])
      assert.equal(await update(pool, other, idOf(world, 0), `state = 'open'`), 0, 'of another tenant');
    assert.equal(await update(worker, world, idOf(world, 0), `state = 'resolved'`), 1);
    assert.equal(await update(api, world, idOf(world, 1), claimed(run.id)), 1);
    await check(world);
  });
});
