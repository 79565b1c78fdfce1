import type { ClientBase } from 'pg';
import { z } from 'zod';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { Column, SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { sql } from '../../../domain/sql.ts';
import { incomingOf, quoted } from './sinkColumns.ts';

/** How PostgreSQL splits a table: by the time in a column, or by its hash. */
export type PartitionBy<P extends string> =
  | { range: P; every: 'day' | 'week' | 'month' | 'year' }
  | { hash: P; partitions: number };

export const partitionOptions = z.union(
  [
    z.strictObject({ range: z.string(), every: z.enum(['day', 'week', 'month', 'year']) }),
    z.strictObject({ hash: z.string(), partitions: z.int().min(2).max(256) }),
  ],
  'must be { range: column, every: “day”, “week”, “month” or “year” } or { hash: column, partitions: 2 to 256 }',
);

/** What a partition adds to the name of its table. */
const suffixBytesMax = 9;
const rangeTypes: readonly SqlType[] = ['timestamptz', 'date'];

/** Throws `DefinitionError`. */
export function checkPartitions(
  table: string,
  by: PartitionBy<string>,
  key: SinkManifest['key'],
  columns: readonly Column[],
): void {
  const name = columnOf(by);
  const column = columns.find((c) => c.name === name);
  const wrong = !column
    ? `names “${name}”, which is not a field of the output`
    : column.nullable
      ? `names “${name}”, which may be missing or null; then a row has no partition`
      : 'range' in by && !rangeTypes.includes(column.type)
        ? `names “${name}”, which is ${column.type}; a range needs an instant or a date`
        : column.type === 'jsonb'
          ? `names “${name}”, which is stored as jsonb`
          : key !== undefined && (typeof key !== 'object' || !key.includes(name))
            ? `names “${name}”, which is not in the key. PostgreSQL finds a key only within a partition: add the column to the key, or use mode “append”`
            : table.length > 63 - suffixBytesMax
              ? `needs a table name of at most ${63 - suffixBytesMax} characters`
              : undefined;
  if (wrong) throw new DefinitionError('sink', [{ path: 'partitionBy', message: wrong }]);
}

export function partitionsOf({ partitionBy }: SinkManifest): PartitionBy<string> | undefined {
  return partitionBy as PartitionBy<string> | undefined;
}

export function columnOf(by: PartitionBy<string>): string {
  return 'range' in by ? by.range : by.hash;
}

/** SQL: the end of `CREATE TABLE`. */
export function partitionClause(sink: SinkManifest): string {
  const by = partitionsOf(sink);
  return by ? ` PARTITION BY ${'range' in by ? 'RANGE' : 'HASH'} (${quoted(columnOf(by))})` : '';
}

/**
 * Makes the partitions that can be made before there are rows: all of a hash; of a range this one and the next. Run as the migrator.
 * No role has a right on a partition itself, so that its rows are reached through the table and its policy alone.
 */
export async function preparePartitions(client: ClientBase, sink: SinkManifest): Promise<void> {
  const by = partitionsOf(sink);
  if (!by) return;
  const { table } = sink;
  if ('hash' in by) {
    for (let i = 0; i < by.partitions; i++) {
      const partition = `public.${quoted(`${table}_h${i}`)}`;
      await client.query(`
        CREATE TABLE IF NOT EXISTS ${partition} PARTITION OF public.${quoted(table)}
          FOR VALUES WITH (MODULUS ${by.partitions}, REMAINDER ${i});
        ALTER TABLE ${partition} ENABLE ROW LEVEL SECURITY`);
    }
    return;
  }
  const { every } = by;
  await client.query(
    sql(
      `INSERT INTO waybill.sink_partitioning (table_name, every) VALUES (:table, :every)
       ON CONFLICT (table_name) DO UPDATE SET every = EXCLUDED.every`,
      { table, every },
    ),
  );
  await client.query(
    sql(
      `SELECT waybill.ensure_partitions(:table, ARRAY[at, at + ('1 ' || :every)::interval])
       FROM (SELECT now() AT TIME ZONE 'UTC' AS at) AS now`,
      { table, every },
    ),
  );
}

/** Has the partitions made that rows on their way need. A worker owns no table, so that a function of the owner makes them. */
export async function ensurePartitions(
  client: ClientBase,
  sink: SinkManifest,
  rows: string,
  params: Record<string, string> = {},
): Promise<void> {
  const by = partitionsOf(sink);
  if (!by || 'hash' in by) return;
  const incoming = incomingOf(sink);
  const { type } = sink.columns.find(({ name }) => name === by.range)!;
  const at = `${quoted(by.range)}${type === 'date' ? '::timestamp' : ` AT TIME ZONE 'UTC'`}`;
  await client.query(
    sql(
      `SELECT waybill.ensure_partitions(:table, ARRAY(
         SELECT DISTINCT date_trunc(:every, ${at}) FROM ${rows} AS i (${incoming.map(({ name }) => name).join(', ')})))`,
      { table: sink.table, every: by.every, ...params },
    ),
  );
}
