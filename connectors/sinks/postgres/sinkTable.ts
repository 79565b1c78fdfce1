import type { ClientBase } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { Column, SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { sql } from '../../../domain/sql.ts';
import { columnOf, partitionClause, partitionsOf, preparePartitions } from './partitions.ts';
import { isDigested, keyOf, quoted } from './sinkColumns.ts';
import { ensureSinkPolicy } from './sinkPolicy.ts';

/**
 * Gives a pipeline the table that it writes to, in schema `public`; run as the migrator. Creates what is missing, widens
 * what is too narrow and ensures row-level security; never drops a column, never narrows one. Repeating it changes nothing.
 * Throws `SinkIncompatible`; its detail says what differs.
 */
export async function prepareTable(client: ClientBase, sink: SinkManifest): Promise<void> {
  // Two processes that start at once wait for each other; the second finds everything done.
  await client.query(
    sql(`SELECT pg_advisory_xact_lock(hashtextextended('waybill.sink:' || :table, 0))`, {
      table: sink.table,
    }),
  );
  const existing = await readTable(client, sink.table);
  if (existing) await client.query(changes(sink, existing).join(';\n'));
  else await client.query(creation(sink));
  const table = `public.${quoted(sink.table)}`;
  await client.query(
    `REVOKE ALL ON ${table} FROM waybill_worker; GRANT ${rightsOf(sink)} ON ${table} TO waybill_worker`,
  );
  await ensureSinkPolicy(client, sink.table);
  await preparePartitions(client, sink);
}

/** What storing needs and no more: only the run that replaces all rows deletes any. */
function rightsOf({ mode }: SinkManifest): string {
  if (mode === 'append') return 'INSERT';
  return mode === 'replace' ? 'SELECT, INSERT, UPDATE, DELETE' : 'SELECT, INSERT, UPDATE';
}

/** Waybill’s own columns come around those of the output: the tenant first, the origin last. */
function creation(sink: SinkManifest): string {
  const columns = [
    `_tenant text COLLATE "C" NOT NULL`,
    ...sink.columns.map((c) => `${quoted(c.name)} ${c.type}${c.nullable ? '' : ' NOT NULL'}`),
    `_run text COLLATE "C" NOT NULL`,
    `_position bigint NOT NULL`,
    `_order bigint NOT NULL`,
    ...(isDigested(sink) ? [`_digest text COLLATE "C" NOT NULL`] : []),
    ...(sink.key === undefined ? [] : [`PRIMARY KEY (${keyOf(sink).map(quoted).join(', ')})`]),
  ];
  const table = `public.${quoted(sink.table)}`;
  const creation = `CREATE TABLE ${table} (\n${columns.join(',\n')}\n)${partitionClause(sink)}`;
  // Readers see the rows of one tenant; a primary key begins with it too.
  return sink.key === undefined ? `${creation};\nCREATE INDEX ON ${table} (_tenant, _run)` : creation;
}

interface ExistingTable {
  columns: Map<string, { type: string; nullable: boolean; hasDefault: boolean }>;
  key: string[];
  partitioned: { by: string; partitions: number } | undefined;
}

async function readTable(client: ClientBase, table: string): Promise<ExistingTable | undefined> {
  const { rows } = await client.query<{
    name: string;
    type: string;
    nullable: boolean;
    has_default: boolean;
    key_ordinal: number | null;
    partitioned_by: string | null;
    partitions: number;
  }>(
    sql(
      `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable,
            a.atthasdef OR a.attidentity <> '' AS has_default,
            array_position(i.indkey::int2[], a.attnum) AS key_ordinal,
            CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partitioned_by,
            (SELECT count(*)::integer FROM pg_inherits h WHERE h.inhparent = c.oid) AS partitions
       FROM pg_class c
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
      WHERE c.relnamespace = 'public'::regnamespace AND c.relname = :table AND c.relkind IN ('r', 'p')
      ORDER BY a.attnum`,
      { table },
    ),
  );
  if (rows.length === 0) return undefined;
  const inKey = rows.filter((r) => r.key_ordinal !== null);
  const { partitioned_by: by, partitions } = rows[0]!;
  return {
    columns: new Map(
      rows.map((r) => [r.name, { type: typeName(r.type), nullable: r.nullable, hasDefault: r.has_default }]),
    ),
    key: inKey.sort((a, b) => a.key_ordinal! - b.key_ordinal!).map((r) => r.name),
    partitioned: by === null ? undefined : { by, partitions },
  };
}

/** `format_type` writes some types in full. */
function typeName(formatted: string): string {
  if (formatted === 'timestamp with time zone') return 'timestamptz';
  if (formatted === 'time without time zone') return 'time';
  return formatted;
}

/** What a type may grow into by itself, since no value changes. Text is not among them: it would change `ORDER BY`. */
const widerTypes: Readonly<Partial<Record<string, readonly SqlType[]>>> = {
  integer: ['bigint', 'numeric'],
  bigint: ['numeric'],
};

/** Statements that make the table fit. Throws `SinkIncompatible` where none would, with everything that differs. */
function changes(sink: SinkManifest, existing: ExistingTable): string[] {
  const table = `ALTER TABLE public.${quoted(sink.table)}`;
  const key = keyOf(sink);
  const partitionedBy = partitionsOf(sink);
  const differences: string[] = [];
  const statements: string[] = [];

  for (const name of ['_tenant', '_run', '_position']) {
    if (!existing.columns.has(name)) differences.push(`it has no column ${name}, so Waybill did not make it`);
  }
  if (differences.length === 0 && existing.key.join() !== key.join()) {
    differences.push(`its key is (${existing.key.join(', ')}), not (${key.join(', ')})`);
  }
  const partitioned = partitionDifference(sink, existing);
  if (differences.length === 0 && partitioned) differences.push(partitioned);
  if (!existing.columns.has('_order')) statements.push(...orderingSql(table, sink.table));
  for (const column of sink.columns) {
    const found = existing.columns.get(column.name);
    // Rows that are there already have no value for it, so that a new column cannot but be nullable.
    if (!found) statements.push(`${table} ADD COLUMN ${quoted(column.name)} ${column.type}`);
    else if (!fits(column, found.type)) {
      const isFixed = partitionedBy !== undefined && columnOf(partitionedBy) === column.name;
      if (widerTypes[found.type]?.includes(column.type) && !isFixed) {
        statements.push(`${table} ALTER COLUMN ${quoted(column.name)} TYPE ${column.type}`);
      } else differences.push(`column ${column.name} is ${found.type}, not ${column.type}`);
    }
    if (found && column.nullable && !found.nullable && !key.includes(column.name)) {
      statements.push(`${table} ALTER COLUMN ${quoted(column.name)} DROP NOT NULL`);
    }
  }
  const known = new Set([
    ...key,
    ...sink.columns.map((c) => c.name),
    '_tenant',
    '_run',
    '_position',
    '_order',
    '_digest',
  ]);
  for (const [name, { nullable, hasDefault }] of existing.columns) {
    if (!known.has(name) && !nullable && !hasDefault) {
      statements.push(`${table} ALTER COLUMN ${quoted(name)} DROP NOT NULL`);
    }
  }
  if (differences.length === 0) return statements;
  throw new WaybillError('SinkIncompatible', { detail: `table ${sink.table}: ${differences.join('; ')}` });
}

/** PostgreSQL cannot split a table that is there. */
function partitionDifference(sink: SinkManifest, { partitioned }: ExistingTable): string | undefined {
  const by = partitionsOf(sink);
  if (!by) return partitioned && `it is partitioned by ${partitioned.by}`;
  const clause = partitionClause(sink).replace(' PARTITION BY ', '').replaceAll('"', '');
  if (partitioned?.by.replaceAll('"', '') !== clause)
    return `it is ${partitioned ? `partitioned by ${partitioned.by}` : 'not partitioned'}, not by ${clause}`;
  if ('hash' in by && partitioned.partitions !== by.partitions)
    return `it has ${partitioned.partitions} partitions, not ${by.partitions}`;
  return undefined;
}

/** A table of a version that ordered rows by the ids of their runs. */
function orderingSql(alter: string, table: string): string[] {
  return [
    `${alter} ADD COLUMN _order bigint`,
    `UPDATE public.${quoted(table)} t SET _order = coalesce((SELECT accepted_order FROM waybill.run r WHERE r.id = t._run), 0)`,
    `${alter} ALTER COLUMN _order SET NOT NULL`,
  ];
}

/** A column that is wider than the output takes every value of it. */
function fits(column: Column, existing: string): boolean {
  return existing === column.type || widerTypes[column.type]?.includes(existing as SqlType) === true;
}
