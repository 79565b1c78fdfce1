import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { applySinks, planSinks } from '../../../adapters/postgres/applySinks.ts';
import type { SinkChange } from '../../../domain/connectors/sinkKind.ts';
import type { Column, Manifest, SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { things } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

const id: Column = { name: 'id', type: 'integer', nullable: false };

describe('table of a sink', () => {
  let postgres: TestPostgres;
  let admin: pg.Pool;
  let table: string;
  let tables = 0;

  before(async () => {
    postgres = await startPostgresForTest();
    admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 4 });
  });
  after(async () => {
    await admin?.end();
    await postgres?.stop();
  });

  const sinkOf = (columns: Column[], more: object = {}): SinkManifest => ({
    ...things.sink,
    table,
    columns: [id, ...columns],
    ...more,
  });
  const manifestOf = (sink: SinkManifest): Manifest => ({ ...things, id: sink.table, sink });
  const apply = (sink: SinkManifest) => applySinks(postgres.migratorUrl, [manifestOf(sink)]);
  const plan = async (sink: SinkManifest): Promise<SinkChange[]> =>
    (await planSinks(postgres.migratorUrl, [manifestOf(sink)]))[0]!.changes;

  /** A table with a column and rows of it. */
  async function filled(column: Column, values: readonly unknown[], more?: object): Promise<void> {
    table = `table_${++tables}`;
    await apply(sinkOf([column], more));
    for (const [i, value] of values.entries())
      await admin.query(
        `INSERT INTO ${table} (_tenant, id, ${column.name}, _run, _position, _order) VALUES ('acme', $1, $2, 'r', 0, 1)`,
        [i, value],
      );
  }

  /** A row as a run of the first definition, which knows only its own column, writes it. */
  const insert = (name: string, value: unknown) =>
    admin.query(
      `INSERT INTO ${table} (_tenant, id, ${name}, _run, _position, _order) VALUES ('acme', 100, $1, 'r', 0, 1)`,
      [value],
    );

  const read = async (columns: string): Promise<unknown[]> =>
    (
      await admin.query({
        text: `SELECT ${columns} FROM ${table}${columns.startsWith('count') ? '' : ' ORDER BY id'}`,
        rowMode: 'array',
      })
    ).rows;

  it('has its column renamed where that is declared, once, with its values', async () => {
    await filled({ name: 'a', type: 'text', nullable: false }, ['x', 'y']);
    const sink = sinkOf([{ name: 'b', type: 'text', nullable: false }], { renamed: { a: 'b' } });
    assert.deepEqual(
      (await plan(sink)).map(({ kind, column }) => [kind, column]),
      [['rename', 'b']],
    );
    await apply(sink);
    await apply(sink);
    assert.deepEqual(await read('b'), [['x'], ['y']]);
    assert.deepEqual(await plan(sink), []);
  });

  it('has a column of its key renamed', async () => {
    await filled({ name: 'a', type: 'text', nullable: false }, ['x'], { key: ['id', 'a'] });
    const sink = sinkOf([{ name: 'b', type: 'text', nullable: false }], {
      key: ['id', 'b'],
      renamed: { a: 'b' },
    });
    await apply(sink);
    assert.deepEqual(await plan(sink), []);
  });

  it('says that a rename cannot be done where both columns are there', async () => {
    await filled({ name: 'a', type: 'text', nullable: true }, ['x']);
    await admin.query(`ALTER TABLE ${table} ADD COLUMN b text`);
    const sink = sinkOf([{ name: 'b', type: 'text', nullable: true }], { renamed: { a: 'b' } });
    await assert.rejects(apply(sink), { code: 'SinkIncompatible', detail: /both columns a and b; drop one/ });
  });

  it('gives rows that are there the declared value of a new required column, and rows of older runs too', async () => {
    await filled({ name: 'a', type: 'text', nullable: true }, ['x', 'y']);
    const sink = sinkOf(
      [
        { name: 'a', type: 'text', nullable: true },
        { name: 'n', type: 'bigint', nullable: false },
        { name: 'who', type: 'text', nullable: false },
      ],
      { defaults: { n: 7, who: "o'neil" } },
    );
    await apply(sink);
    await insert('a', 'z');
    assert.deepEqual(await read('n, who'), Array(3).fill(['7', "o'neil"]));
    assert.deepEqual(await plan(sink), []);
  });

  it('says in how many rows a required column is NULL, before and after it is added', async () => {
    await filled({ name: 'a', type: 'text', nullable: true }, ['x', null, null]);
    const sink = sinkOf([
      { name: 'a', type: 'text', nullable: false },
      { name: 'n', type: 'integer', nullable: false },
    ]);
    const missing = async () =>
      (await plan(sink)).flatMap(({ kind, column, nulls, message }) => {
        if (kind !== 'missing') return [];
        assert.match(message, /run all data again/);
        return [[column, nulls]];
      });
    const expected = [
      ['a', 2],
      ['n', 3],
    ];
    assert.deepEqual(await missing(), expected);
    await apply(sink);
    assert.deepEqual(await missing(), expected);
    await admin.query(`UPDATE ${table} SET a = 'x', n = 1`);
    assert.deepEqual(await missing(), []);
  });

  it('widens integers, and a declared double digit by digit', async () => {
    await filled({ name: 'n', type: 'integer', nullable: true }, [2 ** 31 - 1]);
    await apply(sinkOf([{ name: 'n', type: 'bigint', nullable: true }]));
    await insert('n', '9007199254740993');
    assert.deepEqual(await read('n'), [['2147483647'], ['9007199254740993']]);

    const values = [0.1 + 0.2, 1 / 3, 1e300, -5e-324, 123456789.12345678];
    await filled({ name: 'd', type: 'double precision', nullable: true }, values);
    const numeric: Column = { name: 'd', type: 'numeric', nullable: true };
    await assert.rejects(apply(sinkOf([numeric])), {
      code: 'SinkIncompatible',
      detail: /column d is double precision, not numeric; declare widened: \['d'\] in the sink/,
    });
    await apply(sinkOf([numeric], { widened: ['d'] }));
    const kept = await read('d, d::text');
    assert.deepEqual(
      kept.map((row) => Number((row as string[])[1])),
      values,
    );
    assert.equal((kept[0] as string[])[1], '0.30000000000000004');
  });

  for (const [what, columns, more, message] of [
    [
      'a narrower type',
      [{ name: 'a', type: 'uuid', nullable: true }],
      {},
      /column a is text, not uuid; name/,
    ],
    ['another key', [{ name: 'a', type: 'text', nullable: false }], { key: ['a'] }, /its key is .*; name/],
  ] as [string, Column[], object, RegExp][])
    it(`does not take ${what}: another table does, filled by a run of all data`, async () => {
      await filled({ name: 'a', type: 'text', nullable: true }, ['x']);
      const sink = sinkOf(columns, more);
      const [only, ...others] = await plan(sink);
      assert.equal(only?.kind, 'conflict');
      assert.deepEqual(others, []);
      assert.match(only.message, message);
      await assert.rejects(apply(sink), { code: 'SinkIncompatible', detail: message });
      const before = await read('a');
      await apply({ ...sink, table: `${table}_v2` });
      assert.deepEqual(await read('a'), before);
    });

  it('keeps a column that the output has no more, until it is dropped by hand', async () => {
    await filled({ name: 'a', type: 'text', nullable: false }, ['x']);
    await apply(sinkOf([]));
    await admin.query(
      `INSERT INTO ${table} (_tenant, id, _run, _position, _order) VALUES ('acme', 9, 'r', 0, 1)`,
    );
    assert.deepEqual(await read('a'), [['x'], [null]]);
    await admin.query(`ALTER TABLE ${table} DROP COLUMN a`);
    assert.deepEqual(await plan(sinkOf([])), []);
  });

  it('is planned without a change, and a new one too', async () => {
    table = 'not_there';
    assert.deepEqual(
      (await plan(sinkOf([]))).map(({ kind }) => kind),
      ['create'],
    );
    const { rows } = await admin.query(`SELECT to_regclass('public.not_there') AS found`);
    assert.equal(rows[0].found, null);
  });

  it('that does not fit stops no other pipeline', async () => {
    await filled({ name: 'a', type: 'text', nullable: true }, []);
    const wrong = sinkOf([{ name: 'a', type: 'date', nullable: true }]);
    const fine = { ...wrong, table: `${table}_other` };
    const told: string[] = [];
    await applySinks(postgres.migratorUrl, [wrong, fine].map(manifestOf), {
      onIncompatible: (manifest, { code }) => told.push(`${manifest.id} ${code}`),
    });
    assert.deepEqual(told, [`${table} SinkIncompatible`]);
    await admin.query(`SELECT a FROM ${table}_other`);
  });

  it('is changed beside a long reader without holding up other readers for a second', async () => {
    await filled({ name: 'a', type: 'text', nullable: true }, []);
    await admin.query(
      `INSERT INTO ${table} (_tenant, id, a, _run, _position, _order)
       SELECT 'acme', n, 'x', 'r', 0, 1 FROM generate_series(1, 300000) n`,
    );
    const reader = await admin.connect();
    await reader.query(`BEGIN; SELECT count(*) FROM ${table}`);
    // PostgreSQL measures how long a reader waits for a lock; a clock here would count a busy machine too.
    const other = await admin.connect();
    await other.query(`SET lock_timeout = '1s'`);
    let applied = false;
    const applying = apply(
      sinkOf(
        [
          { name: 'a', type: 'text', nullable: true },
          { name: 'n', type: 'integer', nullable: false },
          { name: 'm', type: 'jsonb', nullable: true },
        ],
        { defaults: { n: 1 } },
      ),
    ).finally(() => {
      applied = true;
    });
    const released = pause(2_500).then(() => reader.query('COMMIT'));
    while (!applied) {
      await other.query(`SELECT a FROM ${table} WHERE id = 5`);
      await pause(5);
    }
    await Promise.all([applying, released]);
    reader.release();
    other.release(true);
    assert.deepEqual((await read('count(*), min(n)')).slice(0, 1), [['300000', 1]]);
  });
});
