import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { createLedger } from '../../../adapters/postgres/ledger/ledger.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { defaultLimits } from '../../../domain/pipelines/manifest.ts';
import type { Ledger, Publication } from '../../../domain/ports/ledger.ts';
import type { Credential } from '../../../domain/revocation.ts';
import { imbalance, zeroCounts } from '../../../domain/runs/run.ts';
import { encodedRows, type PeopleRow, people } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('publishing all rows of a run at once', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let ledger: Ledger;
  let tenant = '';
  let tenants = 0;
  const fresh = () => {
    tenants += 1;
    tenant = `tenant-${tenants}`;
  };

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 6 });
    const manifest = {
      id: 'people',
      version: 1,
      labels: {},
      source: { kind: 'inline' } as const,
      sink: people,
    };
    await applySinks(postgres.migratorUrl, [{ ...manifest, limits: defaultLimits, deadlineMs: 1000 }]);
    ledger = createLedger(tenantsOf(pool));
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  async function newRun(approval = 'approved'): Promise<string> {
    const runId = `people-${uuidv7()}`;
    await admin.query(
      `INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                                parameters, source, grant_jws, txn, arrival)
       VALUES ($1, $2, 'people', 1, 'd', $3, 'running', 'prn_1', '{}', '{}', '{}', 'g', 't', 'sealed')`,
      [runId, tenant, { sink: people }],
    );
    await admin.query(
      `INSERT INTO waybill.approval (id, tenant, run_id, pipeline, gate, state, digest, shown, terms, by, expires_at, ended_at)
       VALUES ('apr ' || $1, $2, $1, 'people', 'publish', $3, 'd', '{}', '{}', '[]', now(), now())`,
      [runId, tenant, approval],
    );
    return runId;
  }

  /** Rows by batches, in the order of the source. */
  function publicationOf(
    runId: string,
    batches: PeopleRow[][],
    change: Partial<Publication> = {},
  ): Publication {
    return {
      tenant,
      runId,
      principal: 'prn_1',
      credential: { tenant, principals: ['prn_1'], issuedAtS: 0, grants: [runId], key: 'key_1' },
      pipeline: 'people',
      version: 1,
      sink: people,
      approval: `apr ${runId}`,
      approvers: [],
      async *batches() {
        let position = 0;
        for (const [seq, all] of batches.entries()) {
          const from = position;
          position += all.length;
          const kept = [...new Map(all.map((row, i) => [row[0], [row, from + i] as const])).values()];
          yield {
            seq,
            rows: encodedRows(
              kept.map(([[id, name], at]) => [id, name, at]),
              all.length,
            ),
            counts: {
              ...zeroCounts,
              read: all.length + 1,
              passed: all.length,
              rejected: 1,
              emitted: all.length,
            },
            deadLetters: [letter(1000 + seq)],
          };
        }
      },
      permits: () => true,
      audit: (counts) => ({
        action: 'run.published',
        outcome: 'success',
        tenant,
        actor: null,
        runId,
        txn: null,
        detail: { ...counts },
      }),
      ...change,
    };
  }

  async function published(runId: string, batches: PeopleRow[][], change?: Partial<Publication>) {
    const outcome = await ledger.publishRun(publicationOf(runId, batches, change));
    if (outcome.outcome === 'published') await end(runId);
    return outcome;
  }
  const end = (runId: string) =>
    admin.query('UPDATE waybill.run SET ended_at = now() WHERE id = $1', [runId]);
  const values = async () =>
    (await admin.query('SELECT id, name FROM people WHERE _tenant = $1 ORDER BY id', [tenant])).rows.map(
      ({ id, name }): PeopleRow => [id, name],
    );
  const traces = async (runId: string) =>
    (
      await admin.query(
        `SELECT (SELECT count(*) FROM waybill.ledger WHERE run_id = $1)::int AS ledger,
                (SELECT count(*) FROM waybill.dead_letter WHERE run_id = $1)::int AS letters,
                (SELECT count(*) FROM waybill.audit_event WHERE run_id = $1 AND action <> 'dead-letter.recorded')::int AS events,
                (SELECT coalesce(max(version), 0) FROM waybill.sink_version WHERE tenant = $2)::int AS version`,
        [runId, tenant],
      )
    ).rows[0];
  const nothing = { ledger: 0, letters: 0, events: 0, version: 0 };

  it('is what the preview says, and happens once however often it is asked for', async () => {
    fresh();
    await published(await newRun(), [
      [
        [1, 'as it is'],
        [2, 'old'],
      ],
    ]);
    const run = await newRun();
    const batches: PeopleRow[][] = [
      [
        [1, 'as it is'],
        [2, 'new'],
        [3, 'first'],
      ],
      [
        [3, 'last'],
        [4, null],
      ],
    ];
    const found = await ledger.previewRun(publicationOf(run, batches));
    assert.deepEqual(found, {
      baseVersion: 1,
      changes: { added: 2, changed: 1, unchanged: 1, deduplicated: 1 },
    });
    assert.deepEqual(await traces(run), { ...nothing, version: 1 });
    const expected = { stored: 3, unchanged: 1, deduplicated: 1 };
    for (let i = 0; i < 2; i++) {
      const answer = await ledger.publishRun(publicationOf(run, batches));
      assert.ok(answer.outcome === 'published');
      const { stored, unchanged, deduplicated } = answer.counts;
      assert.deepEqual({ stored, unchanged, deduplicated }, expected);
      assert.equal(imbalance(answer.counts), undefined);
    }
    assert.deepEqual(await values(), [
      [1, 'as it is'],
      [2, 'new'],
      [3, 'last'],
      [4, null],
    ]);
    assert.deepEqual(await traces(run), { ledger: 2, letters: 2, events: 1, version: 2 });
  });

  it('does not depend on where batches are cut, and each batch has its share in the ledger', async () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.constantFrom('a', 'b')), {
      maxLength: 12,
    });
    const cuts = fc.array(fc.boolean(), { minLength: 12, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(rows, rows, cuts, async (before, rows, cuts) => {
        fresh();
        await published(await newRun(), [before]);
        const pieces: PeopleRow[][] = [[]];
        rows.forEach((row, i) => {
          if (cuts[i]) pieces.push([]);
          pieces.at(-1)!.push(row);
        });
        const run = await newRun();
        const found = await ledger.previewRun(publicationOf(run, [rows]));
        assert.deepEqual(await ledger.previewRun(publicationOf(run, pieces)), found);
        const answer = await published(run, pieces);
        assert.ok(answer.outcome === 'published');
        const { added, changed, unchanged, deduplicated } = found.changes;
        assert.equal(answer.counts.stored, added + changed);
        assert.equal(answer.counts.unchanged, unchanged);
        assert.equal(answer.counts.deduplicated, deduplicated);
        const { rows: entries } = await admin.query('SELECT counts FROM waybill.ledger WHERE run_id = $1', [
          run,
        ]);
        assert.deepEqual(
          entries.map(({ counts }) => imbalance(counts)),
          pieces.map(() => undefined),
        );
        const expected = new Map([...before, ...rows]);
        assert.deepEqual(
          await values(),
          [...expected].sort(([a], [b]) => a - b),
        );
      }),
      { numRuns: 25 },
    );
  });

  it('does not happen, and leaves nothing, where it is no more what was permitted', async () => {
    fresh();
    const run = await newRun();
    const seen: unknown[] = [];
    const answer = await published(run, [[[1, 'a']]], {
      permits: (found) => {
        seen.push(found);
        return false;
      },
    });
    assert.deepEqual(answer, { outcome: 'stale' });
    assert.deepEqual(seen, [
      { baseVersion: 0, changes: { added: 1, changed: 0, unchanged: 0, deduplicated: 0 } },
    ]);
    assert.deepEqual([await values(), await traces(run)], [[], nothing]);
  });

  it('is asked of the table as it is when its turn comes', async () => {
    fresh();
    const [run, other] = [await newRun(), await newRun()];
    const before = await ledger.previewRun(publicationOf(run, [[[1, 'a']]]));
    await published(other, [[[2, 'b']]]);
    const permits: Publication['permits'] = ({ baseVersion }) => baseVersion === before.baseVersion;
    assert.deepEqual(await published(run, [[[1, 'a']]], { permits }), { outcome: 'stale' });
    assert.deepEqual(await values(), [[2, 'b']]);
  });

  it('does not happen without an approval that stands, after the end of the run, or without its grant', async () => {
    for (const state of ['rejected', 'expired', 'void', 'cancelled']) {
      fresh();
      const run = await newRun(state);
      await assert.rejects(published(run, [[[1, 'a']]]), { code: 'ApprovalRequired' });
      assert.deepEqual([await values(), await traces(run)], [[], nothing], state);
    }
    fresh();
    const ended = await newRun();
    await end(ended);
    await assert.rejects(published(ended, [[[1, 'a']]]), { code: 'RunEnded' });
    const mine = await newRun();
    const others = { approval: `apr ${await newRun()}` };
    await assert.rejects(published(mine, [[[1, 'a']]], others), { code: 'ApprovalRequired' });
    await revoke('grant', mine);
    await assert.rejects(published(mine, [[[1, 'a']]]), { code: 'GrantRevoked' });
    assert.deepEqual([await values(), await traces(mine)], [[], nothing]);
  });

  it('does not happen once an approver is revoked', async () => {
    fresh();
    const run = await newRun();
    const bob: Credential = { tenant, principals: ['prn_bob'], issuedAtS: 0, key: 'key_1' };
    await revoke('principal', 'prn_bob');
    assert.deepEqual(await published(run, [[[1, 'a']]], { approvers: [bob] }), { outcome: 'stale' });
    assert.deepEqual([await values(), await traces(run)], [[], nothing]);
  });

  it('happens though an approver has signed out since', async () => {
    fresh();
    const run = await newRun();
    const erin: Credential = { tenant, principals: ['prn_erin'], issuedAtS: 0, key: 'key_1' };
    await revoke('principal', 'prn_erin', new Date());
    assert.deepEqual(await published(run, [[[1, 'a']]], { approvers: [erin] }), { outcome: 'stale' });
    const approvers = [{ ...erin, outlastsSession: true }];
    assert.equal((await published(run, [[[1, 'a']]], { approvers })).outcome, 'published');
    assert.deepEqual(await values(), [[1, 'a']]);
  });

  it('of several attempts at once happens once', async () => {
    fresh();
    const run = await newRun();
    const rows: PeopleRow[] = Array.from({ length: 50 }, (_, i) => [i, 'a']);
    const publishers = [1, 2, 3].map(() => createLedger(tenantsOf(pool)));
    await Promise.all(publishers.map((one) => one.publishRun(publicationOf(run, [rows, rows]))));
    assert.equal((await values()).length, 50);
    assert.deepEqual(await traces(run), { ledger: 2, letters: 2, events: 1, version: 1 });
  });

  async function revoke(kind: string, target: string, issuedUntil: Date | null = null): Promise<void> {
    const text =
      'INSERT INTO waybill.revocation (id, kind, target, tenant, issued_until) VALUES ($1, $2, $3, $4, $5)';
    await admin.query(text, [`rev ${target} ${tenant}`, kind, target, tenant, issuedUntil]);
  }
});

function letter(position: number) {
  return {
    position,
    line: position + 1,
    byteOffset: 0,
    byteLength: 1,
    code: 'SchemaMismatch',
    path: '',
    message: 'm',
    stage: 'validate' as const,
    raw: Buffer.from('x'),
    object: { digest: 'f'.repeat(64), offset: 0 },
  };
}
