import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { createDeadLetters } from '../../../adapters/postgres/deadLetters/deadLetters.ts';
import { findRun } from '../../../adapters/postgres/runs/runs.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { DeadLetters } from '../../../domain/ports/deadLetters.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const tenant = 'acme';
const by = { id: 'prn_bob', kind: 'person' } as const;
const audit = {
  action: 'dead-letter.repaired',
  outcome: 'success',
  tenant,
  actor: by,
  runId: 'orders-1',
  txn: 't',
} as const;

describe('dead letters in PostgreSQL', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let pool: pg.Pool;
  let letters: DeadLetters;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
    pool = new pg.Pool({ connectionString: postgres.apiUrl, max: 4 });
    letters = createDeadLetters(tenantsOf(pool));
    await admin.query(`
      INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                               parameters, source, grant_jws, txn, arrival)
        SELECT 'orders-' || n, 'acme', 'orders', 1, 'd', '{"id": "orders", "labels": {}}', 'running', 'prn_1', '{"id": "prn_1"}',
               '{}', '{"kind": "inline"}', 'g', 't', 'sealed' FROM generate_series(1, 3) n;
      INSERT INTO waybill.batch (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records, header, bytes)
        SELECT 'acme', 'orders-' || n, 0, 'd', 4, 0, 0, 1, 2, '["a"]', 'x1y2' FROM generate_series(1, 3) n;
      INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                       byte_length, stage, code, path, message, raw, object, created_at)
        SELECT 'dl_' || lpad(n::text, 22, '0'), 'acme', 'orders-' || n % 2 + 1, 'orders', 1, 'prn_1', 0, n, n, 2, 2, 'validate',
               CASE n % 3 WHEN 0 THEN 'Rare' ELSE 'Common' END, CASE n % 4 WHEN 0 THEN 'a.b' ELSE '' END, 'm',
               CASE WHEN n > 1 THEN 'raw'::bytea END, CASE n WHEN 1 THEN '{"digest": "d", "offset": 2}'::jsonb END,
               timestamptz '2026-01-01' + n / 5 * interval '1 hour'
        FROM generate_series(1, 20) n`);
  });
  after(async () => {
    await pool?.end();
    await admin?.end();
    await postgres?.stop();
  });

  const idOf = (n: number) => `dl_${String(n).padStart(22, '0')}`;
  const numberOf = ({ id }: { id: string }) => Number(id.slice(3));

  async function listed(filter: Omit<Parameters<DeadLetters['list']>[1], 'limit'>, limit = 3) {
    const found: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await letters.list(tenant, { ...filter, limit, ...(cursor !== undefined && { cursor }) });
      found.push(...page.items.map(({ letter }) => numberOf(letter)));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    return found;
  }

  const statesOf = async (run: string) => (await findRun(tenantsOf(pool), tenant, run))?.deadLetters;

  const newestFirst = (keeps: (n: number) => boolean) =>
    Array.from({ length: 20 }, (_, i) => 20 - i).filter(keeps);

  it('lists each once, newest first, by any filters together', async () => {
    assert.deepEqual(
      await listed({}),
      newestFirst(() => true),
    );
    assert.deepEqual(
      await listed({ run: 'orders-1' }),
      newestFirst((n) => n % 2 === 0),
    );
    assert.deepEqual(
      await listed({ code: 'Rare', state: 'open' }),
      newestFirst((n) => n % 3 === 0),
    );
    assert.deepEqual(
      await listed({ run: 'orders-1', code: 'Rare', path: '', state: 'open', pipeline: 'orders' }),
      newestFirst((n) => n % 2 === 0 && n % 3 === 0 && n % 4 !== 0),
    );
    const span = { from: '2026-01-01T01:00:00Z', to: '2026-01-01T03:00:00Z' };
    assert.deepEqual(
      await listed(span),
      newestFirst((n) => n >= 5 && n < 15),
    );
    assert.deepEqual(
      await listed({ ...span, path: 'a.b' }),
      newestFirst((n) => n >= 5 && n < 15 && n % 4 === 0),
    );
    assert.deepEqual((await letters.list('globex', { limit: 10 })).items, []);
    await assert.rejects(letters.list(tenant, { limit: 1, cursor: 'x' }), { code: 'InvalidRequest' });
  });

  it('counts them by code, path and state, with an example of each', async () => {
    const groups = await letters.group(tenant, { run: 'orders-1' }, ['code', 'path'], ['orders']);
    assert.deepEqual(
      groups.map(({ by, letters: n }) => [by.code, by.path, n]),
      [
        ['Common', 'a.b', 4],
        ['Common', '', 3],
        ['Rare', '', 2],
        ['Rare', 'a.b', 1],
      ],
    );
    assert.equal(groups[3]!.example, idOf(12));
    assert.deepEqual(await letters.group(tenant, {}, ['code'], []), []);
    assert.equal((await statesOf('orders-1'))?.open, 10);
    assert.equal(await statesOf('orders-3'), undefined);
  });

  it('gives the bytes of a record, also where only its batch has them', async () => {
    const [first, second] = await letters.pick(tenant, { ids: [idOf(1), idOf(2)] }, { limit: 10 });
    assert.deepEqual([first!.raw?.toString(), first!.header], ['y2', ['a']]);
    assert.equal(Buffer.from(first!.raw!).toString(), 'y2');
    assert.equal(Buffer.from(second!.raw!).toString(), 'raw');
  });

  it('keeps one edit of two that begin from the same letter, and the original bytes', async () => {
    const edit = { id: idOf(4), revision: 1, form: 'raw', version: 1, before: 'b', after: 'a' } as const;
    const event = { ...audit, detail: {} };
    const [one, two] = await Promise.all(
      ['first', 'second'].map((text) =>
        letters.repair(tenant, [{ ...edit, bytes: Buffer.from(text) }], by, event),
      ),
    );
    assert.equal(one!.length + two!.length, 1);
    const [kept] = await letters.pick(tenant, { ids: [idOf(4)] }, { limit: 1 });
    assert.equal(Buffer.from(kept!.raw!).toString(), 'raw');
    assert.equal(Buffer.from(kept!.edit!.bytes).toString(), one!.length ? 'first' : 'second');
    assert.deepEqual([kept!.state, kept!.revision], ['repaired', 2]);
    const { rows } = await admin.query(
      `SELECT FROM waybill.audit_event WHERE detail -> 'letters' ? '${idOf(4)}'`,
    );
    assert.equal(rows.length, 1);
    assert.equal((await statesOf('orders-1'))?.repaired, 1);
  });

  it('discards for good', async () => {
    const given = [{ id: idOf(5), revision: 1 }];
    assert.deepEqual(await letters.discard(tenant, given, by, 'a test', { ...audit, detail: {} }), [idOf(5)]);
    const revised = [{ id: idOf(5), revision: 2 }];
    assert.deepEqual(await letters.discard(tenant, revised, by, 'again', { ...audit, detail: {} }), []);
    const letter = await letters.find(tenant, idOf(5));
    assert.deepEqual([letter?.state, letter?.discarded], ['discarded', { by, reason: 'a test' }]);
    await assert.rejects(
      pool.query(
        `SET waybill.tenant = 'acme'; UPDATE waybill.dead_letter SET state = 'open' WHERE id = '${idOf(5)}'`,
      ),
      { code: '42501' },
    );
  });
});
