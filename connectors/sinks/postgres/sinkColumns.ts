import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';

/** The primary key of a sink’s table. The tenant comes first, so that no key meets another tenant’s row. */
export function keyOf(sink: SinkManifest): string[] {
  return ['_tenant', ...(keyColumns(sink) ?? ['_digest'])];
}

/** `undefined` where the digest of all columns is the key. */
export function keyColumns({ key }: SinkManifest): readonly string[] | undefined {
  return typeof key === 'object' ? key : undefined;
}

/** A name as PostgreSQL reads it verbatim. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
