import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import pg from 'pg';
import { z } from 'zod';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { connectors } from '../../connectors/index.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { prepareDefinition } from '../../engine/records/definition.ts';
import { processBatch } from '../../engine/records/processBatch.ts';
import { processInput } from '../../engine/records/processInput.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import {
  csv,
  definePipeline,
  json,
  parquet,
  postgres,
  rowDigest,
  text,
  tsv,
  upload,
} from '../../sdk/index.ts';
import { startPostgresForTest } from '../support/stack.ts';

type Column = [name: string, type: string, values: number, sum: number];
interface Table {
  rows: number;
  columns: Column[];
}

/**
 * What DuckDB 2.0 says of each file: rows, and of each column its type, how many values are not null, and a sum: of numbers their
 * sum, of texts the sum of the first 28 bits of their MD5. `i` whole, `n` number, `s` text, `b` boolean, `m` text or number, `j` nested.
 */
const tables: Record<string, Table> = JSON.parse(
  readFileSync(new URL('vega/tables.json', import.meta.url), 'utf8'),
);
const folder = new URL('../../node_modules/vega-datasets/data/', import.meta.url);

/** Shapes of maps, one object each; and a hierarchy. No table is in them. */
const noTables = [
  ...[
    'annual-precip',
    'earthquakes',
    'londonBoroughs',
    'londonTubeLines',
    'miserables',
    'us-10m',
    'volcano',
    'world-110m',
  ],
].map((name) => `${name}.json`);

const formatOf = (name: string) =>
  name.endsWith('.json')
    ? json()
    : name.endsWith('.parquet')
      ? parquet()
      : (name.endsWith('.tsv') ? tsv : csv)({ emptyAs: 'null' });

function schemaOf(name: string, type: string): z.ZodType {
  const isText = /\.[ct]sv$/.test(name);
  const value = {
    i: isText ? text.integer() : z.int(),
    n: isText ? text.number() : z.number(),
    s: z.string(),
    b: z.boolean(),
    m: z.union([z.string(), z.number()]),
    j: z.record(z.string(), z.json()),
  }[type[0] as 'i'];
  return type.endsWith('?') ? value.nullish() : value;
}

/** A name that begins with `_` cannot be a column. */
const columnOf = (name: string) => name.replace(/^_/, '');

/** Digests of three million rows take long. */
function keyOf(columns: readonly Column[]) {
  const key = columns.filter(([, type]) => /^[insb]$/.test(type)).map(([field]) => columnOf(field));
  return key.length === columns.length && key.length <= 16 ? (key as [string]) : rowDigest();
}

function defineOf(name: string, columns: readonly Column[]) {
  const shape = (rename: (field: string) => string) =>
    z.strictObject(Object.fromEntries(columns.map(([field, type]) => [rename(field), schemaOf(name, type)])));
  const renames = columns.some(([field]) => field.startsWith('_'));
  const pipeline = definePipeline({
    id: 'vega',
    source: upload(formatOf(name)),
    input: shape((field) => field),
    ...(renames && {
      output: shape(columnOf),
      transform: (record: object) =>
        Object.fromEntries(Object.entries(record).map(([field, value]) => [columnOf(field), value])),
    }),
    sink: postgres({ table: 'vega', key: keyOf(columns) }),
    limits: { batchBytes: 4 * 1024 * 1024 },
  } as never);
  return prepareDefinition(pipeline as never);
}

async function read(name: string, { columns }: Table) {
  const definition = defineOf(name, columns);
  const sums = columns.map(() => ({ values: 0, sum: 0 }));
  const words = new Map<string, number>();
  const sumOf = (value: unknown, type: string): number => {
    if (type.startsWith('m') || type.startsWith('j')) return 0;
    if (typeof value !== 'string') return Number(value);
    const known = words.get(value);
    if (known !== undefined) return known;
    const made = Number.parseInt(hash('md5', value).slice(0, 7), 16);
    if (words.size < 100_000) words.set(value, made);
    return made;
  };
  const onRows = (_: number, rows: readonly Record<string, unknown>[]) => {
    for (const row of rows)
      for (const [i, [field, type]] of columns.entries()) {
        const value = row[columnOf(field)];
        if (value === null || value === undefined) continue;
        sums[i]!.values++;
        sums[i]!.sum += sumOf(value, type);
      }
  };
  const rejected: unknown[] = [];
  const { counts } = await processInput(
    definition,
    createMemoryObjects(),
    createReadStream(new URL(name, folder)),
    { parameters: {}, observer: { onRows, onFiltered() {} }, onRejected: (some) => rejected.push(...some) },
  );
  assert.deepEqual(rejected.slice(0, 3), []);
  return { counts, sums };
}

describe('vega-datasets', () => {
  it('each CSV, TSV, JSON and Parquet file of it is a table here, or no table', () => {
    const files = readdirSync(folder).filter((name) => /\.([ct]sv|json|parquet)$/.test(name));
    assert.deepEqual(files.sort(), [...Object.keys(tables), ...noTables].sort());
  });

  for (const [name, table] of Object.entries(tables))
    it(`${basename(name)}: ${table.rows} rows, as DuckDB counts and sums them`, async () => {
      const { counts, sums } = await read(name, table);
      assert.deepEqual([counts.read, counts.passed, counts.emitted], [table.rows, table.rows, table.rows]);
      for (const [i, [field, , values, sum]] of table.columns.entries()) {
        assert.equal(sums[i]!.values, values, field);
        assert.ok(
          Math.abs(sums[i]!.sum - sum) <= Math.abs(sum) * 1e-9,
          `${field}: ${sums[i]!.sum}, not ${sum}`,
        );
      }
    });

  it('seattle-weather.csv and movies.json are in PostgreSQL as DuckDB counts and sums them', async () => {
    const postgres = await startPostgresForTest();
    const pool = new pg.Pool({ connectionString: postgres.workerUrl, max: 1 });
    try {
      for (const [i, name] of ['seattle-weather.csv', 'movies.json'].entries()) {
        const { columns, rows } = tables[name]!;
        const prepared = defineOf(name, columns);
        const sink = { ...prepared.sink, table: `vega${i}` };
        await applySinks(postgres.migratorUrl, [{ ...prepared.pipeline.manifest, sink }]);
        const client = await pool.connect();
        await client.query(`BEGIN; SET LOCAL waybill.tenant = 'acme'`);
        const counts = await storeInto(client, { ...prepared, sink }, readFileSync(new URL(name, folder)));
        await client.query('COMMIT');
        assert.equal(counts.stored + counts.deduplicated, rows);
        const sums = columns.map(([field, type]) =>
          /^[in]/.test(type) ? `sum("${field}")::float8` : `count("${field}")::float8`,
        );
        await client.query(`SET waybill.tenant = 'acme'`);
        const { rows: found } = await client.query({
          text: `SELECT ${sums} FROM vega${i}`,
          rowMode: 'array',
        });
        client.release();
        // Equal rows of movies.json are one row.
        if (counts.deduplicated > 0) continue;
        for (const [at, [field, type, values, sum]] of columns.entries()) {
          const expected = /^[in]/.test(type) ? sum : values;
          assert.ok(Math.abs(found[0]![at]! - expected) <= Math.abs(expected) * 1e-9, field);
        }
      }
    } finally {
      await pool.end();
      await postgres.stop();
    }
  });
});

async function storeInto(client: pg.PoolClient, definition: ReturnType<typeof defineOf>, bytes: Buffer) {
  const objects = createMemoryObjects();
  const scope = { tenant: 'acme', runId: 'vega-0197a3b4-0000-7000-8000-000000000001' };
  const { format, pipeline, sink } = definition;
  const input = { format: format.manifest, limits: pipeline.manifest.limits };
  const counts = { stored: 0, deduplicated: 0 };
  for await (const batch of createReceiver(objects).receive(scope, input, Readable.from([bytes]))) {
    const read = Buffer.from(batch.bytes ?? (await objects.get(scope, batch.digest)));
    const { transformed } = await processBatch(definition, batch, read, { transform: { parameters: {} } });
    const rows = {
      emitted: transformed!.counts.emitted!,
      sizeBytes: 10 ** 9,
      async *chunks() {
        yield transformed!.rows;
      },
    };
    const run = { ...scope, sink, order: '1', earlierOpen: false, rows };
    const stored = await connectors.sink('postgres').writer!.write(client as never, run);
    counts.stored += stored.stored;
    counts.deduplicated += stored.deduplicated;
  }
  return counts;
}
