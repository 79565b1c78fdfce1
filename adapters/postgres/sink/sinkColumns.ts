import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';

/** The primary key of a sink’s table. The tenant comes first, so that no key meets another tenant’s row. */
export function keyOf(sink: SinkManifest): string[] {
  return ['_tenant', ...(sink.key === 'row-digest' ? ['_digest'] : sink.key)];
}

/** A name as PostgreSQL reads it verbatim. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
