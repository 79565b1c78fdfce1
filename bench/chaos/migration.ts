import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import { applySinks } from '../../adapters/postgres/applySinks.ts';
import { sql } from '../../domain/sql.ts';
import { definePipeline, inline, postgres } from '../../sdk/index.ts';
import { startPostgresForTest } from '../../test/support/stack.ts';

/** So long may a change that adds keep a reader waiting. */
const waitMaxMs = 1_000;

const base = { id: z.int(), n: z.int32(), name: z.string(), ratio: z.number() };
const noted = { ...base, note: z.string().optional() };
const graded = { ...noted, grade: z.string() };
const { name: _, ...unnamed } = graded;
const titled = { ...unnamed, title: z.string() };
const { ratio: __, ...fewer } = { ...titled, title: z.string().optional() };

/** Each change of a table that is there, in this order, one after the other. A widening rewrites the table and is only measured. */
const changes: readonly { name: string; fields: z.ZodRawShape; sink?: object; rewrites?: true }[] = [
  { name: 'add a nullable column', fields: noted },
  { name: 'add a column with a default', fields: graded, sink: { defaults: { grade: 'none' } } },
  { name: 'rename a column', fields: titled, sink: { renamed: { name: 'title' } } },
  { name: 'allow NULL in a column', fields: { ...titled, title: z.string().optional() } },
  { name: 'leave a column out', fields: fewer },
  { name: 'widen integer to bigint', fields: { ...fewer, n: z.int() }, rewrites: true },
];

/**
 * Applies each kind of change to a table of so many rows, while readers ask for single rows all the time and one reads for three seconds.
 * Resolves with the longest wait of a reader for each.
 */
export async function changeUnderReaders(rows: number): Promise<string[]> {
  const database = await startPostgresForTest();
  const pool = new pg.Pool({ connectionString: database.superuserUrl, max: 8 });
  try {
    await applySinks(database.migratorUrl, [manifestOf(base)]);
    await pool.query(
      sql(
        `INSERT INTO public.readings (_tenant, id, n, name, ratio, _run, _position, _order)
         SELECT 'acme', i, i % 1000, 'row ' || i, i / 7.0, 'r', i, 1 FROM generate_series(1, :rows::bigint) i`,
        { rows },
      ),
    );
    await pool.query('VACUUM ANALYZE public.readings');
    const lines: string[] = [];
    for (const { name, fields, sink, rewrites } of changes) {
      const { appliedMs, longestMs } = await apply(pool, rows, () =>
        applySinks(database.migratorUrl, [manifestOf(fields, sink)]),
      );
      const said = `${name}: applied in ${Math.round(appliedMs)} ms, longest wait of a reader ${Math.round(longestMs)} ms`;
      lines.push(rewrites || longestMs <= waitMaxMs ? `(${said})` : said);
    }
    return [...lines, `(${rows} rows)`];
  } finally {
    await pool.end();
    await database.stop();
  }
}

function manifestOf(fields: z.ZodRawShape, sink: object = {}) {
  return definePipeline({
    id: 'readings',
    source: inline(),
    input: z.strictObject(fields),
    sink: postgres({ table: 'readings', key: ['id'], ...sink }),
  } as never).manifest;
}

/** The readers begin before the change and end after it. */
async function apply(pool: pg.Pool, rows: number, change: () => Promise<void>) {
  const state = { done: false, longestMs: 0 };
  const readers = Array.from({ length: 4 }, () => read(pool, rows, state));
  const long = await pool.connect();
  await long.query('BEGIN');
  await long.query('SELECT count(*) FROM (SELECT FROM public.readings LIMIT 1) one');
  const held = pause(3_000).then(() => long.query('COMMIT'));
  const startedMs = performance.now();
  try {
    await change();
  } finally {
    await held;
    long.release();
    state.done = true;
    await Promise.all(readers);
  }
  return { appliedMs: performance.now() - startedMs, longestMs: state.longestMs };
}

async function read(pool: pg.Pool, rows: number, state: { done: boolean; longestMs: number }): Promise<void> {
  while (!state.done) {
    const startedMs = performance.now();
    const id = Math.ceil(Math.random() * rows);
    await pool.query(sql(`SELECT id FROM public.readings WHERE _tenant = 'acme' AND id = :id`, { id }));
    state.longestMs = Math.max(state.longestMs, performance.now() - startedMs);
    await pause(5);
  }
}
