import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { connectors } from '../../connectors/index.ts';
import type { RowCounts } from '../../domain/connectors/sinkKind.ts';
import { defaultLimits, type Manifest, type SinkManifest } from '../../domain/pipelines/manifest.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';

type Row = { id: number; note: string | null };

/** Which of several rows a sink keeps: the last with an `id`, one of those that are equal, or each. */
type Keeps = 'last of key' | 'one of equal' | 'all';

/** A case that only some sinks can have. The others have no such test, so that a skipped test always means a missing part. */
function itWhere(has: boolean, name: string, run: () => void | Promise<void>): void {
  if (has) it(name, run);
}

function encodeRows(sink: SinkManifest, rows: readonly Row[]) {
  const writer = connectors.sink(sink.kind).encoder(sink).begin(16);
  for (const [position, row] of rows.entries()) assert.equal(writer.add(position, [row]), undefined);
  return writer.finish();
}

/** What every sink must do. Its output has the columns `id`, an integer, and `note`, a text that may be NULL. */
export function encodingConformance(name: string, sink: SinkManifest, { keeps }: { keeps: Keeps }): void {
  const keyed = keeps === 'last of key';
  const kind = connectors.sink(sink.kind);
  const encode = (rows: readonly Row[]) => encodeRows(sink, rows);

  describe(`sink: ${name}, encoding`, () => {
    const notes = [
      'plain',
      '',
      null,
      '\\N',
      'tab\t',
      'line\nbreak\r',
      'back\\slash',
      '"quoted", {braced}',
      'é \u{1F4E6}',
    ];
    const rows = notes.map((note, id) => ({ id, note }));

    it('gives the same bytes for the same rows', () => {
      assert.deepEqual(encode(rows), encode(rows));
    });

    it('reads encoded rows back, as many as asked for', async () => {
      const { bytes } = encode(rows);
      const read = (rowsMax: number) => kind.encoder(sink).read(bytes, rowsMax);
      const texts = rows.map(({ id, note }) => [String(id), note]);
      assert.deepEqual(
        (await read(100)).map((row) => row.slice(0, 2)),
        texts,
      );
      assert.deepEqual(
        (await read(3)).map((row) => row.slice(0, 2)),
        texts.slice(0, 3),
      );
    });

    it('keeps all rows of a record or none', async () => {
      const writer = kind.encoder(sink).begin(16);
      const rejected = writer.add(0, [
        { id: 1, note: 'fits' },
        { id: 1.5, note: 'does not' },
      ]);
      assert.deepEqual([rejected?.code, rejected?.path], ['OutputMismatch', 'id']);
      assert.equal(writer.add(1, [{ id: 2, note: 'fits' }]), undefined);
      const { bytes } = writer.finish();
      assert.deepEqual(
        (await kind.encoder(sink).read(bytes, 10)).map(([id]) => id),
        ['2'],
      );
    });

    itWhere(keeps !== 'all', 'drops a row that is stored by a later one, and says which', async () => {
      const { bytes, replaced } = encode([
        { id: 1, note: 'a' },
        { id: 2, note: 'b' },
        { id: 1, note: keyed ? 'c' : 'a' },
      ]);
      assert.deepEqual(replaced, [0]);
      assert.deepEqual(
        (await kind.encoder(sink).read(bytes, 10)).map(([id]) => id),
        ['2', '1'],
      );
    });
  });
}

/** What every sink in PostgreSQL must do beside it. */
export function sinkConformance(name: string, sink: SinkManifest, { keeps }: { keeps: Keeps }): void {
  encodingConformance(name, sink, { keeps });
  const keyed = keeps === 'last of key';
  const writer = connectors.sink(sink.kind).writer!;
  const { table } = sink;
  const encode = (rows: readonly Row[]) => encodeRows(sink, rows);

  describe(`sink: ${name}, writing`, () => {
    let postgres: TestPostgres;
    let admin: pg.Pool;
    let pool: pg.Pool;
    before(async () => {
      postgres = await startPostgresForTest();
      admin = new pg.Pool({ connectionString: postgres.superuserUrl, max: 1 });
      pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 1 });
      const manifest = {
        id: 'p',
        version: 1,
        labels: {},
        source: { kind: 'inline' },
        sink,
        limits: defaultLimits,
      } as Manifest;
      await applySinks(postgres.migratorUrl, [manifest]);
      await applySinks(postgres.migratorUrl, [manifest]);
    });
    after(async () => {
      await pool?.end();
      await admin?.end();
      await postgres?.stop();
    });

    let tenants = 0;
    let orders = 0;
    /** Stores rows as the next run of a tenant, in a transaction of its own. `many`: as a batch that is not small. */
    async function store(
      tenant: string,
      rows: readonly Row[],
      { many = false, commit = true } = {},
    ): Promise<RowCounts> {
      const { bytes } = encode(rows);
      const encoded = {
        emitted: rows.length,
        sizeBytes: many ? 10 ** 9 : bytes.byteLength,
        async *chunks() {
          yield bytes;
        },
      };
      const order = String(++orders);
      const client = await pool.connect();
      try {
        await client.query(`BEGIN; SET LOCAL waybill.tenant = '${tenant}'`);
        const run = { tenant, runId: `run-${order}`, sink, order, earlierOpen: false, rows: encoded };
        const counts = await writer.write(client as never, run);
        await client.query(commit ? 'COMMIT' : 'ROLLBACK');
        return counts;
      } finally {
        client.release();
      }
    }
    async function stored(tenant: string): Promise<Row[]> {
      const { rows } = await admin.query(
        `SELECT id, note FROM public.${table} WHERE _tenant = $1 ORDER BY id, note`,
        [tenant],
      );
      return rows;
    }
    const freshTenant = () => `tenant-${++tenants}`;

    for (const many of [false, true]) {
      describe(many ? 'a large batch' : 'a small batch', () => {
        it('stores each value as it is, and counts add up', async () => {
          const tenant = freshTenant();
          const rows = [
            { id: 1, note: '\\N' },
            { id: 2, note: null },
            { id: 3, note: 'a\tb\\\n"c" é' },
          ];
          const counts = await store(tenant, rows, { many });
          assert.deepEqual(counts, { stored: 3, unchanged: 0, deduplicated: 0, wrote: true });
          assert.deepEqual(await stored(tenant), rows);
        });

        itWhere(
          keeps !== 'all',
          'does not write a row that is equal, and replaces one that differs',
          async () => {
            const tenant = freshTenant();
            const first = Array.from({ length: 30 }, (_, id) => ({ id, note: 'a' }));
            await store(tenant, first, { many });
            const again = await store(tenant, first, { many });
            assert.deepEqual(again, { stored: 0, unchanged: 30, deduplicated: 0, wrote: false });
            const changed = first.map(({ id }) => ({ id, note: id === 7 ? 'b' : 'a' }));
            const counts = await store(tenant, changed, { many });
            assert.deepEqual(counts, { stored: 1, unchanged: 29, deduplicated: 0, wrote: true });
            assert.deepEqual(
              (await stored(tenant)).filter(({ note }) => note === 'b'),
              [{ id: 7, note: 'b' }],
            );
          },
        );

        itWhere(keeps === 'all', 'keeps every row, once', async () => {
          const tenant = freshTenant();
          const rows = [
            { id: 1, note: 'a' },
            { id: 1, note: 'a' },
          ];
          const all = { stored: 2, unchanged: 0, deduplicated: 0, wrote: true };
          assert.deepEqual(await store(tenant, rows, { many }), all);
          assert.deepEqual(await store(tenant, rows, { many }), all);
          assert.equal((await stored(tenant)).length, 4);
        });

        itWhere(keeps !== 'all', 'counts what a later row of the batch replaced', async () => {
          const rows = [
            { id: 1, note: 'a' },
            { id: 1, note: keyed ? 'b' : 'a' },
          ];
          const { stored: count, deduplicated } = await store(freshTenant(), rows, { many });
          assert.deepEqual([count, deduplicated], [1, 1]);
        });

        it('leaves nothing of a transaction that is rolled back', async () => {
          const tenant = freshTenant();
          await store(tenant, [{ id: 1, note: 'a' }], { many, commit: false });
          assert.deepEqual(await stored(tenant), []);
          assert.equal((await store(tenant, [{ id: 2, note: 'b' }], { many })).stored, 1);
          assert.deepEqual(await stored(tenant), [{ id: 2, note: 'b' }]);
        });

        it('touches no row of another tenant', async () => {
          const [one, other] = [freshTenant(), freshTenant()];
          await store(one, [{ id: 1, note: 'one' }], { many });
          await store(other, [{ id: 1, note: 'other' }], { many });
          assert.deepEqual(await stored(one), [{ id: 1, note: 'one' }]);
          assert.deepEqual(await stored(other), [{ id: 1, note: 'other' }]);
        });

        it('stores nothing for a batch without rows', async () => {
          const counts = await store(freshTenant(), [], { many });
          assert.deepEqual(counts, { stored: 0, unchanged: 0, deduplicated: 0, wrote: false });
        });
      });
    }
  });
}
