import { z } from 'zod';
import type { SinkKind } from '../../../domain/connectors/sinkKind.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { Column } from '../../../domain/pipelines/manifest.ts';
import type { Sink } from '../../../domain/pipelines/pipeline.ts';
import { createEncoder } from './encodeRows.ts';
import { prepareTable } from './sinkTable.ts';
import { compareStaged, publishStaged, stageRows } from './stagedRows.ts';
import { upsertRows } from './upsertRows.ts';
import { writeApart } from './writeApart.ts';

/**
 * Rows go to a PostgreSQL table by upsert: a row replaces the row with the same key if it comes from a later
 * position of the source or a later run. The columns are those of the output schema; Waybill creates and widens the
 * table and never drops a column.
 * @param target.table lower-case identifier, in schema `public`
 * @param target.key columns of the output that identify a row within a tenant, or `rowDigest()`
 */
export function postgres<const K extends readonly [string, ...string[]] | RowDigest>(target: {
  table: string;
  key: K;
}): PostgresTarget<K extends readonly string[] ? K[number] : never> {
  return { kind: 'postgres', table: target.table, key: target.key };
}

/** For data without a key of its own: the digest of all columns identifies a row, so equal rows are stored once. */
export function rowDigest(): RowDigest {
  return 'row-digest';
}

type RowDigest = 'row-digest';

interface PostgresTarget<K extends string = string> extends Sink<K> {
  kind: 'postgres';
  table: string;
  key: readonly string[] | RowDigest;
}

export const postgresSink: SinkKind = {
  kind: 'postgres',
  summary: 'rows are upserted into a table of PostgreSQL',
  options: z.object({
    table: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be a letter and up to 62 of a-z, 0-9 and _'),
    key: z.union([
      z.literal('row-digest'),
      z
        .array(z.string())
        .min(1)
        .max(16)
        .refine((key) => new Set(key).size === key.length, 'names a column twice'),
    ]),
  }),
  describe(options, columns) {
    const sink = options as unknown as PostgresTarget;
    if (columns.length > 400)
      throw new DefinitionError('output', [{ path: '', message: 'has more than 400 columns' }]);
    if (sink.key !== 'row-digest') for (const name of sink.key) checkKeyColumn(name, columns);
    return { ...sink, columns };
  },
  conflict: (sink, other) =>
    JSON.stringify(other.key) !== JSON.stringify(sink.key)
      ? 'key'
      : sink.columns.find((c) => other.columns.some((o) => o.name === c.name && o.type !== c.type))?.name,
  encoder: createEncoder,
  writer: {
    prepare: prepareTable,
    write: upsertRows,
    writeApart,
    staged: { stage: stageRows, preview: compareStaged, publish: publishStaged },
  },
};

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
