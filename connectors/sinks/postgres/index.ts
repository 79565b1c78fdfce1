import type { ClientBase } from 'pg';
import { z } from 'zod';
import { slotCount } from '../../../domain/connectors/lanes.ts';
import type { SinkKind } from '../../../domain/connectors/sinkKind.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { Column } from '../../../domain/pipelines/manifest.ts';
import type { Sink } from '../../../domain/pipelines/pipeline.ts';
import { createEncoder } from './encodeRows.ts';
import { checkPartitions, type PartitionBy, partitionOptions } from './partitions.ts';
import { planTable, prepareTable } from './sinkTable.ts';
import { beginStaging, compareStaged, publishStaged, sealStaged, stageRows } from './stagedRows.ts';
import { writeApart, writeRows } from './writeApart.ts';

/**
 * Rows go to a PostgreSQL table. The columns are those of the output schema; Waybill creates and widens the table and never
 * drops a column.
 *
 * - With a `key`, by upsert: a row replaces the row with the same key if it comes from a later position of the source or a
 *   later run.
 * - `mode: 'append'`: every row is kept, and none is compared with another.
 * - `mode: 'replace'`: at the end of a run its rows take the place of all rows of the tenant, in one transaction.
 * @param target.table lower-case identifier, in schema `public`
 * @param target.key columns of the output that identify a row within a tenant, or `rowDigest()`
 * @param target.lanes over so many connections a run writes a large batch at once, 1 to 16; by default as many as a worker has processors
 * @param target.shards databases over which the rows are split by their key: 1 to 16 names of credentials. Without them the rows are in Waybill’s own
 * @param target.partitionBy how PostgreSQL splits the table: by the time in a column, or by its hash
 * @param target.renamed columns that have another name now: `{ old: 'new' }`; `waybill apply` renames them in the table
 * @param target.widened columns that `waybill apply` may turn from `double precision` into `numeric`
 * @param target.defaults values of new required columns in the rows that are there already
 * @example postgres({ table: 'events', mode: 'append', partitionBy: { range: 'at', every: 'month' } })
 */
export function postgres<
  const K extends readonly [string, ...string[]] | RowDigest | undefined = undefined,
  const P extends string = never,
>(
  target: { table: string; partitionBy?: PartitionBy<P> } & DeclaredChanges &
    (
      | {
          mode?: undefined;
          key: K & (readonly string[] | RowDigest);
          lanes?: number;
          shards?: readonly string[];
        }
      | { mode: 'append'; key?: undefined }
      | { mode: 'replace'; key?: K }
    ),
): PostgresTarget<(K extends readonly string[] ? K[number] : never) | P> {
  const given = Object.entries(target).filter(([, option]) => option !== undefined);
  return { kind: 'postgres', ...(Object.fromEntries(given) as Omit<PostgresTarget<never>, 'kind'>) };
}

/** For data without a key of its own: the digest of all columns identifies a row, so equal rows are stored once. */
export function rowDigest(): RowDigest {
  return 'row-digest';
}

type RowDigest = 'row-digest';

/** What `waybill apply` does to a table that is there already. */
interface DeclaredChanges {
  renamed?: Readonly<Record<string, string>>;
  widened?: readonly string[];
  defaults?: Readonly<Record<string, string | number | boolean>>;
}

interface PostgresTarget<K extends string = string> extends Sink<K>, DeclaredChanges {
  kind: 'postgres';
  table: string;
  key?: readonly string[] | RowDigest;
  mode?: 'append' | 'replace';
  lanes?: number;
  shards?: readonly string[];
  partitionBy?: PartitionBy<string>;
}

export const postgresSink: SinkKind = {
  kind: 'postgres',
  summary: 'rows are upserted into a table of PostgreSQL, appended to it, or replace it',
  options: z.object({
    table: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a letter and up to 62 of a-z, 0-9 and _'),
    key: z
      .union([
        z.literal('row-digest'),
        z
          .array(z.string())
          .min(1)
          .max(16)
          .refine((key) => new Set(key).size === key.length, 'names a column twice'),
      ])
      .optional(),
    mode: z
      .enum(['append', 'replace'], 'can only be “append” or “replace”; without it rows are upserted')
      .optional(),
    lanes: z.int().min(1).max(slotCount).optional(),
    shards: z
      .array(z.string().regex(/^[a-z][a-z0-9-]{0,39}$/, 'must be a letter and up to 39 of a-z, 0-9 and -'))
      .min(1)
      .max(slotCount)
      .refine((names) => new Set(names).size === names.length, 'names a shard twice')
      .optional(),
    partitionBy: partitionOptions.optional(),
    renamed: z.record(z.string(), z.string()).optional(),
    widened: z.array(z.string()).optional(),
    defaults: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  }),
  describe(options, columns) {
    const sink = options as unknown as PostgresTarget;
    if (columns.length > 400)
      throw new DefinitionError('output', [{ path: '', message: 'has more than 400 columns' }]);
    checkMode(sink);
    if (typeof sink.key === 'object') for (const name of sink.key) checkKeyColumn(name, columns);
    if (sink.partitionBy) checkPartitions(sink.table, sink.partitionBy, sink.key, columns);
    checkDeclaredChanges(sink, columns);
    return { ...sink, columns, ...(sink.mode === 'replace' && { atEnd: 'replace' as const }) };
  },
  conflict(sink, other) {
    const differs = (['key', 'mode', 'partitionBy', 'shards'] as const).find(
      (option) => JSON.stringify(other[option]) !== JSON.stringify(sink[option]),
    );
    if (differs) return `with another ${differs}`;
    if (sink.mode === 'replace') return 'and each would remove the rows of the other';
    const column = sink.columns.find((c) =>
      other.columns.some((o) => o.name === c.name && o.type !== c.type),
    );
    return column && `with another ${column.name}`;
  },
  encoder: createEncoder,
  writer: {
    prepare: prepareTable,
    plan: planTable,
    write: (client: ClientBase, rows, options) => writeRows(client, rows, options?.moreFollow),
    writeApart,
    staged: {
      begin: beginStaging,
      stage: stageRows,
      seal: sealStaged,
      preview: compareStaged,
      publish: publishStaged,
    },
  },
};

function checkMode({ mode, key, shards }: PostgresTarget): void {
  if (shards && mode !== undefined) {
    const why =
      mode === 'append' ? 'the key of a row says which shard it is in' : 'no transaction spans them';
    const message = `cannot be with mode “${mode}”: ${why}. Upsert by a key`;
    throw new DefinitionError('sink', [{ path: 'shards', message }]);
  }
  const wrong =
    mode === 'append' && key !== undefined
      ? 'has no use with mode “append”, which keeps every row. Leave it out'
      : mode === undefined && key === undefined
        ? 'is missing: name the columns that identify a row, or use rowDigest() or mode “append”'
        : undefined;
  if (wrong) throw new DefinitionError('sink', [{ path: 'key', message: wrong }]);
}

function checkKeyColumn(name: string, columns: readonly Column[]): void {
  const column = columns.find((c) => c.name === name);
  const wrong = !column
    ? `names “${name}”, which is not a field of the output`
    : column.nullable
      ? `names “${name}”, which may be missing or null; a key is always there`
      : column.type === 'jsonb'
        ? `names “${name}”, which is stored as jsonb and identifies nothing`
        : undefined;
  if (wrong) throw new DefinitionError('sink', [{ path: 'key', message: wrong }]);
}

/** What is declared about columns must be about columns of the output. */
function checkDeclaredChanges(
  { renamed = {}, widened = [], defaults = {} }: PostgresTarget,
  columns: readonly Column[],
): void {
  const typeOf = (name: string) => columns.find((column) => column.name === name)?.type;
  const check = (path: string, name: string, fine: boolean, wrong: string) => {
    if (!fine) throw new DefinitionError('sink', [{ path, message: `names “${name}”, ${wrong}` }]);
  };
  for (const [from, to] of Object.entries(renamed)) {
    check('renamed', to, typeOf(to) !== undefined, 'which is not a field of the output');
    check('renamed', from, typeOf(from) === undefined, 'which the output still has');
  }
  for (const name of widened)
    check('widened', name, typeOf(name) === 'numeric', 'which is not a decimal of the output');
  for (const name of Object.keys(defaults))
    check('defaults', name, typeOf(name) !== undefined, 'which is not a field of the output');
}
