import type { ClientBase } from 'pg';
import type { SinkChange } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { sql } from '../../../domain/sql.ts';
import { partitionClause, preparePartitions } from './partitions.ts';
import { isDigested, keyOf, quoted } from './sinkColumns.ts';
import { ensureSinkPolicy } from './sinkPolicy.ts';
import { columnSql, type ExistingTable, tableChanges } from './tableChanges.ts';

/**
 * Gives a pipeline the table that it writes to, in schema `public`; run as the migrator. Creates what is missing, renames and widens what is
 * declared, and ensures row-level security; never drops a column, never narrows one. Repeating it changes nothing.
 * Throws `SinkIncompatible`; its detail says what differs and what to do.
 */
export async function prepareTable(client: ClientBase, sink: SinkManifest): Promise<void> {
  // Two processes that start at once wait for each other; the second finds everything done.
  await client.query(
    sql(`SELECT pg_advisory_xact_lock(hashtextextended('waybill.sink:' || :table, 0))`, {
      table: sink.table,
    }),
  );
  const existing = await readTable(client, sink.table);
  const changes = existing ? tableChanges(sink, existing) : [];
  const conflicts = changes.filter(({ kind }) => kind === 'conflict');
  if (conflicts.length > 0) {
    const detail = `table ${sink.table}: ${conflicts.map(({ message }) => message).join('; ')}`;
    throw new WaybillError('SinkIncompatible', { detail });
  }
  if (existing) await client.query(changes.flatMap(({ statements }) => statements).join(';\n'));
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

/**
 * What `prepareTable` would do, or cannot do, and which required columns are NULL in rows that are there. Changes nothing.
 */
export async function planTable(client: ClientBase, sink: SinkManifest): Promise<SinkChange[]> {
  const existing = await readTable(client, sink.table);
  if (!existing) return [{ kind: 'create', message: `table ${sink.table} is created` }];
  const changes = tableChanges(sink, existing);
  const planned: SinkChange[] = changes.map(({ statements, ...change }) => change);
  if (changes.some(({ kind }) => kind === 'conflict')) return planned;
  for (const { name, nullable } of sink.columns) {
    if (nullable) continue;
    const added = changes.find(({ kind, column }) => kind === 'add' && column === name);
    const was = changes.find(({ kind, column }) => kind === 'rename' && column === name)?.from ?? name;
    if (!added && !existing.columns.get(was)?.nullable) continue;
    if (added?.filled) continue;
    const nulls = await countRows(client, sink.table, added ? undefined : was);
    if (nulls > 0) planned.push({ kind: 'missing', column: name, nulls, message: missingText(name, nulls) });
  }
  return planned;
}

function missingText(name: string, nulls: number): string {
  const rows = nulls === 1 ? '1 row is' : `${nulls} rows are`;
  return `${rows} NULL in required column ${name}: run all data again, or give those rows a value by defaults: { ${name}: … } of the sink before the column is added`;
}

/** All rows, or those of which a column is NULL. */
async function countRows(client: ClientBase, table: string, column?: string): Promise<number> {
  const where = column === undefined ? '' : ` WHERE ${quoted(column)} IS NULL`;
  const { rows } = await client.query<{ n: string }>(
    `SELECT count(*) AS n FROM public.${quoted(table)}${where}`,
  );
  return Number(rows[0]!.n);
}

/** Waybill’s own columns come around those of the output: the tenant first, the origin last. */
function creation(sink: SinkManifest): string {
  const columns = [
    `_tenant text COLLATE "C" NOT NULL`,
    ...sink.columns.map(columnSql),
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
