import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';

/**
 * The primary key of a sink’s table; none where every row is kept. The tenant comes first, so that no key meets another
 * tenant’s row.
 */
export function keyOf(sink: SinkManifest): string[] {
  if (sink.key === undefined) return [];
  return ['_tenant', ...(keyColumns(sink) ?? ['_digest'])];
}

/** `undefined` where the digest of all columns is the key, and where there is none. */
export function keyColumns({ key }: SinkManifest): readonly string[] | undefined {
  return typeof key === 'object' ? key : undefined;
}

export function isDigested({ key }: SinkManifest): boolean {
  return key === 'row-digest';
}

/** The columns of a row on its way, in the order in which it is encoded, named as SQL has it. */
export function incomingOf(sink: SinkManifest): { name: string; type: string; inKey: boolean }[] {
  const key = keyOf(sink);
  const columns = sink.columns.map(({ name, type }) => ({
    name: quoted(name),
    type: type as string,
    inKey: key.includes(name),
  }));
  const digest = isDigested(sink) ? [{ name: '_digest', type: 'text', inKey: true }] : [];
  return [...columns, ...digest, { name: '_position', type: 'bigint', inKey: false }];
}

/** SQL: whether two aliases have a row of one key, within a tenant. */
export function sameKey(sink: SinkManifest, one: string, other: string): string {
  const key = incomingOf(sink).filter(({ inKey }) => inKey);
  return key.map(({ name }) => `${one}.${name} = ${other}.${name}`).join(' AND ');
}

/** SQL: the columns of the output as one row, to be compared as a whole. */
export function rowOf(sink: SinkManifest, alias: string): string {
  return `ROW(${sink.columns.map(({ name }) => `${alias}.${quoted(name)}`).join(', ')})`;
}

/** A name as PostgreSQL reads it verbatim. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
