import type { SinkChange } from '../../../domain/connectors/sinkKind.ts';
import type { Column, SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { columnOf, partitionClause, partitionsOf } from './partitions.ts';
import { keyOf, quoted } from './sinkColumns.ts';

/** A table as the catalog of PostgreSQL describes it. */
export interface ExistingTable {
  columns: ReadonlyMap<string, { type: string; nullable: boolean; hasDefault: boolean }>;
  key: readonly string[];
  partitioned: { by: string; partitions: number } | undefined;
}

/** A change with the statements that make it; a conflict has none. */
export interface TableChange extends SinkChange {
  statements: readonly string[];
  /** Of a new column: the rows that are there already get a value. */
  filled?: boolean;
  /** Of a rename: the name before. */
  from?: string;
}

/** All in which a table differs from what its pipeline declares, in the order in which it is to be changed. */
export function tableChanges(sink: SinkManifest, existing: ExistingTable): TableChange[] {
  const foreign = ['_tenant', '_run', '_position'].filter((name) => !existing.columns.has(name));
  if (foreign.length > 0)
    return foreign.map((name) => conflict(`it has no column ${name}, so Waybill did not make it`));
  const alter = `ALTER TABLE public.${quoted(sink.table)}`;
  const renames = renamesOf(sink, existing, alter);
  const table = afterRenames(existing, renames);
  return [
    ...renames,
    ...keyConflict(sink, table),
    ...partitionConflict(sink, table),
    ...(table.columns.has('_order') ? [] : [orderColumn(sink.table, alter)]),
    ...sink.columns.flatMap((column) => columnChanges(sink, column, table, alter)),
    ...leftColumns(sink, table, alter),
  ];
}

/** A column of a new table, or a new column of a table without rows. */
export function columnSql({ name, type, nullable }: Column): string {
  return `${quoted(name)} ${type}${nullable ? '' : ' NOT NULL'}`;
}

function conflict(message: string, column?: string): TableChange {
  return { kind: 'conflict', message, ...(column && { column }), statements: [] };
}

/** A rename that is done already, or that was never needed because the table is new, is none. */
function renamesOf(sink: SinkManifest, { columns }: ExistingTable, alter: string): TableChange[] {
  return Object.entries(optionsOf(sink).renamed).flatMap(([from, to]): TableChange[] => {
    if (!columns.has(from)) return [];
    if (columns.has(to))
      return [
        conflict(
          `it has both columns ${from} and ${to}; drop one of them by hand, then take the rename out`,
          to,
        ),
      ];
    const message = `column ${from} is renamed to ${to}`;
    const statements = [`${alter} RENAME COLUMN ${quoted(from)} TO ${quoted(to)}`];
    return [{ kind: 'rename', column: to, from, message, statements }];
  });
}

function afterRenames(
  { columns, key, partitioned }: ExistingTable,
  renames: readonly TableChange[],
): ExistingTable {
  const names = new Map(renames.flatMap(({ from, column }) => (from && column ? [[from, column]] : [])));
  const nameOf = (name: string) => names.get(name) ?? name;
  return {
    columns: new Map([...columns].map(([name, column]) => [nameOf(name), column])),
    key: key.map(nameOf),
    partitioned,
  };
}

function keyConflict(sink: SinkManifest, { key }: ExistingTable): TableChange[] {
  const wanted = keyOf(sink);
  if (key.join() === wanted.join()) return [];
  return [
    conflict(
      `its key is (${key.join(', ')}), not (${wanted.join(', ')}); ${elsewhere}, or restore the old key`,
    ),
  ];
}

/** PostgreSQL cannot split a table that is there. */
function partitionConflict(sink: SinkManifest, { partitioned }: ExistingTable): TableChange[] {
  const by = partitionsOf(sink);
  const clause = partitionClause(sink).replace(' PARTITION BY ', '').replaceAll('"', '');
  const is = partitioned ? `partitioned by ${partitioned.by}` : 'not partitioned';
  if ((partitioned?.by.replaceAll('"', '') ?? '') !== clause)
    return [conflict(`it is ${is}, not ${clause ? `by ${clause}` : 'as one table'}; ${elsewhere}`)];
  if (by && 'hash' in by && partitioned!.partitions !== by.partitions)
    return [conflict(`it has ${partitioned!.partitions} partitions, not ${by.partitions}; ${elsewhere}`)];
  return [];
}

const elsewhere = 'name another table in the sink and run all data again';

/** A table of a version that ordered rows by the ids of their runs. */
function orderColumn(table: string, alter: string): TableChange {
  return {
    kind: 'add',
    column: '_order',
    message: 'column _order is added',
    filled: true,
    statements: [
      `${alter} ADD COLUMN _order bigint`,
      `UPDATE public.${quoted(table)} t SET _order = coalesce((SELECT accepted_order FROM waybill.run r WHERE r.id = t._run), 0)`,
      `${alter} ALTER COLUMN _order SET NOT NULL`,
    ],
  };
}

function columnChanges(
  sink: SinkManifest,
  column: Column,
  table: ExistingTable,
  alter: string,
): TableChange[] {
  const { name, nullable } = column;
  const found = table.columns.get(name);
  if (!found) return [addedColumn(sink, column, alter)];
  const changes: TableChange[] = [];
  if (!fits(column, found.type)) changes.push(otherType(sink, column, found.type, alter));
  if (nullable && !found.nullable && !keyOf(sink).includes(name))
    changes.push(relaxed(name, alter, 'may be NULL'));
  return changes;
}

/** Rows that are there have no value for a new column, unless the sink declares one. PostgreSQL rewrites the table for neither. */
function addedColumn(sink: SinkManifest, { name, type }: Column, alter: string): TableChange {
  const value = optionsOf(sink).defaults[name];
  const message =
    value === undefined
      ? `column ${name} ${type} is added`
      : `column ${name} ${type} is added, and is ${JSON.stringify(value)} in the rows that are there`;
  const filled = value === undefined ? '' : ` NOT NULL DEFAULT ${literal(value)}::${type}`;
  return {
    kind: 'add',
    column: name,
    message,
    filled: value !== undefined,
    // A run of the old definition, which is still under way, leaves the column out: its rows get the default too.
    statements: [`${alter} ADD COLUMN ${quoted(name)} ${type}${filled}`],
  };
}

function literal(value: string | number | boolean): string {
  return `'${String(value).replaceAll("'", "''")}'`;
}

/** What a type may grow into by itself, since no value changes. Text is not among them: it would change `ORDER BY`. */
const widerTypes: Readonly<Partial<Record<string, readonly SqlType[]>>> = {
  integer: ['bigint', 'numeric'],
  bigint: ['numeric'],
};

/** A column that is wider than the output takes every value of it. */
function fits(column: Column, existing: string): boolean {
  return existing === column.type || widerTypes[column.type]?.includes(existing as SqlType) === true;
}

function otherType(sink: SinkManifest, { name, type }: Column, existing: string, alter: string): TableChange {
  const isDouble = existing === 'double precision' && type === 'numeric';
  const declared = isDouble && optionsOf(sink).widened.includes(name);
  const by = partitionsOf(sink);
  const isFixed = by !== undefined && columnOf(by) === name;
  if (isFixed || (!declared && !widerTypes[existing]?.includes(type))) {
    const remedy =
      isDouble && !isFixed
        ? `declare widened: ['${name}'] in the sink`
        : `${elsewhere}, or restore the old type`;
    return conflict(`column ${name} is ${existing}, not ${type}; ${remedy}`, name);
  }
  // The cast of PostgreSQL keeps 15 digits of a double; its text keeps all of the value.
  const using = isDouble ? ` USING ${quoted(name)}::text::numeric` : '';
  return {
    kind: 'widen',
    column: name,
    message: `column ${name} is widened from ${existing} to ${type}; the table is rewritten, and readers wait for that`,
    statements: [`${alter} ALTER COLUMN ${quoted(name)} TYPE ${type}${using}`],
  };
}

function relaxed(name: string, alter: string, why: string): TableChange {
  return {
    kind: 'nullable',
    column: name,
    message: `column ${name} ${why}`,
    statements: [`${alter} ALTER COLUMN ${quoted(name)} DROP NOT NULL`],
  };
}

const ownColumns = ['_tenant', '_run', '_position', '_order', '_digest', '_extra', '_source'];

/** Columns that the output has no more stay; new rows have no value for them. */
function leftColumns(sink: SinkManifest, { columns }: ExistingTable, alter: string): TableChange[] {
  const known = new Set([...keyOf(sink), ...sink.columns.map(({ name }) => name), ...ownColumns]);
  return [...columns].flatMap(([name, { nullable, hasDefault }]) =>
    known.has(name) || nullable || hasDefault
      ? []
      : [relaxed(name, alter, 'stays, and is NULL in new rows, which the output no longer gives a value')],
  );
}

interface ChangeOptions {
  renamed: Readonly<Record<string, string>>;
  widened: readonly string[];
  defaults: Readonly<Record<string, string | number | boolean>>;
}

function optionsOf({ renamed = {}, widened = [], defaults = {} }: SinkManifest): ChangeOptions {
  return { renamed, widened, defaults } as ChangeOptions;
}
