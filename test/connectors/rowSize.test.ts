import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { connectors } from '../../connectors/index.ts';
import type { SinkManifest, SqlType } from '../../domain/pipelines/manifest.ts';
import { things } from '../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';

type Row = Record<string, unknown>;

/** The encoder rejects what PostgreSQL would reject, so that it costs one record and not the run. */
describe('sink: size of rows and keys', () => {
  let postgres: TestPostgres;
  let pool: pg.Pool;
  before(async () => {
    postgres = await startPostgresForTest();
    pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 1 });
  });
  after(async () => {
    await pool?.end();
    await postgres?.stop();
  });

  /** The longest that a tenant can have. */
  const tenant = 't'.repeat(63);
  /** Nothing that can be compressed. */
  const noise = (length: number) => randomBytes(length).toString('hex').slice(0, length);

  function sinkOf(table: string, types: readonly SqlType[], key: SinkManifest['key'] = ['c0']): SinkManifest {
    const columns = types.map((type, i) => ({ name: `c${i}`, type, nullable: i > 0 }));
    for (const name of key ?? []) columns.find((column) => column.name === name)!.nullable = false;
    return { kind: 'postgres', table, key: key!, columns };
  }

  /** Whether the encoder takes the row, and the database. */
  async function verdicts(sink: SinkManifest, row: Row) {
    const kind = connectors.sink('postgres');
    const writer = kind.encoder(sink).begin(1024);
    const code = writer.add(0, [row])?.code;
    // Without a bound, as the encoder would write it.
    const names = sink.columns.map(({ name }) => `"${name}"`);
    const values = sink.columns.map(({ name }) => row[name] ?? null);
    const client = await pool.connect();
    try {
      await client.query(`BEGIN; SET LOCAL waybill.tenant = '${tenant}'`);
      await client.query(
        `INSERT INTO public.${sink.table} (_tenant, ${names.join()}, _run, _position, _order)
         SELECT '${tenant}', ${values.map((_, i) => `$${i + 1}::${sink.columns[i]!.type}`).join()}, $${values.length + 1}, 1, 1`,
        [...values, 'things-0197a3b4-0000-7000-8000-000000000001'],
      );
      return { code, state: undefined };
    } catch (error) {
      return { code, state: (error as { code: string }).code };
    } finally {
      await client.query('ROLLBACK');
      client.release();
    }
  }

  it('rejects a key at exactly the length that the index cannot hold', async () => {
    const keys: [SqlType[], (length: number) => Row][] = [
      [['text'], (length) => ({ c0: noise(length) })],
      [['integer', 'text'], (length) => ({ c0: 1, c1: noise(length) })],
      [['text', 'integer', 'bigint'], (length) => ({ c0: noise(length), c1: 1, c2: 2 })],
      [['boolean', 'text', 'uuid'], (length) => ({ c0: true, c1: noise(length), c2: randomUuid })],
      [['text', 'text'], (length) => ({ c0: noise(126), c1: noise(length) })],
      [['text', 'text', 'time'], (length) => ({ c0: noise(127), c1: noise(length), c2: '10:00:00' })],
    ];
    for (const [i, [types, rowOf]] of keys.entries()) {
      const sink = sinkOf(
        `keys${i}`,
        types,
        types.map((_, at) => `c${at}`),
      );
      await applySinks(postgres.migratorUrl, [{ ...things, sink }]);
      let rejected = 0;
      for (let length = 2_450; length < 2_650; length += 1) {
        const { code, state } = await verdicts(sink, rowOf(length));
        assert.deepEqual(
          [code, state],
          code ? ['KeyTooLarge', '54000'] : [undefined, undefined],
          `${types} ${length}`,
        );
        if (code) rejected++;
      }
      assert.ok(rejected > 0 && rejected < 200, String(types));
    }
  });

  it('rejects a row at exactly the size that no page can hold', async () => {
    const shapes: SqlType[][] = [
      Array(400).fill('text'),
      ['uuid', ...Array(390).fill('text')],
      ['text', ...Array(200).fill('uuid'), ...Array(199).fill('text')],
    ];
    for (const [i, types] of shapes.entries()) {
      const sink = sinkOf(`rows${i}`, types);
      await applySinks(postgres.migratorUrl, [{ ...things, sink }]);
      const seen = new Set<string | undefined>();
      for (let length = 16; length <= 30; length++) {
        const row = Object.fromEntries(
          types.map((type, at) => [`c${at}`, type === 'uuid' ? randomUuid : noise(length)]),
        );
        const { code, state } = await verdicts(sink, row);
        assert.deepEqual(
          [code, state],
          code ? ['RowTooLarge', '54000'] : [undefined, undefined],
          `${i} ${length}`,
        );
        seen.add(code);
      }
      assert.equal(seen.size, i === 2 ? 1 : 2);
    }
  });

  it('takes every row of fewer columns, however long its values are', async () => {
    const sink = sinkOf('long', ['text', 'jsonb', 'numeric', ...Array(200).fill('text')]);
    await applySinks(postgres.migratorUrl, [{ ...things, sink }]);
    const row = {
      c0: 'k',
      c1: { a: noise(50_000) },
      c2: '9'.repeat(500),
      c3: noise(100_000),
      c4: 'x'.repeat(9_000_000),
    };
    assert.deepEqual(await verdicts(sink, { ...row, c1: JSON.stringify(row.c1) }), {
      code: undefined,
      state: undefined,
    });
  });

  it('rejects a row that is larger than memory bears', () => {
    const sink = sinkOf('huge', ['text', 'text', 'text']);
    const writer = connectors.sink('postgres').encoder(sink).begin(1024);
    const half = 'x'.repeat(70 * 1024 * 1024);
    assert.deepEqual(writer.add(0, [{ c0: 'k', c1: half, c2: half }])?.code, 'RowTooLarge');
    assert.deepEqual(writer.add(1, [{ c0: 'k', c1: '€'.repeat(50 * 1024 * 1024) }])?.code, 'RowTooLarge');
    assert.equal(writer.add(2, [{ c0: 'k', c1: 'small' }]), undefined);
  });
});

const randomUuid = '0197a3b4-0000-7000-8000-000000000001';
