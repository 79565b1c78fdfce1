/**
 * Rows go to a PostgreSQL table by upsert: a row whose key is there already replaces it if it comes from a later
 * place of the source or a later run. The columns are those of the output schema; Waybill creates and widens the
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

export type RowDigest = 'row-digest';

export interface PostgresTarget<K extends string = string> {
  kind: 'postgres';
  table: string;
  key: readonly string[] | RowDigest;
  /** Only the compiler sees it: the names that the key uses. */
  readonly keyColumns?: K;
}
