import { hash } from 'node:crypto';
import type { SinkManifest } from '../../domain/pipelines/manifest.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import { ArrayLiteral } from './arrayLiteral.ts';
import { eachLine } from './eachLine.ts';

type Texts = readonly (string | null)[];

/**
 * Turns transformed lines into one array literal a column, in the order of the source. Of rows with one key the last
 * stays. No row is kept as an object, which would cost more to collect than everything else here; what a later row
 * replaced is cut out of the literals at the end.
 */
export function encodeRows(
  sink: SinkManifest,
  bytes: Buffer,
): EncodedRows & { columns: string[]; positions: string; digests?: string } {
  const keyOf = sink.key === 'row-digest' ? digester(sink) : keyReader(sink);
  const latest = new Map<string, number>();
  const replaced: number[] = [];
  const columns = sink.columns.map(() => new ArrayLiteral(bytes.length / sink.columns.length));
  const positions: number[] = [];
  const digests = new ArrayLiteral(1024);
  let emitted = 0;
  eachLine(bytes, ([position, , , , value]) => {
    const texts = value as Texts;
    const key = keyOf(texts);
    const earlier = latest.get(key);
    if (earlier !== undefined) replaced.push(earlier);
    latest.set(key, emitted++);
    for (let i = 0; i < columns.length; i++) columns[i]!.add(texts[i]!);
    positions.push(position);
    if (sink.key === 'row-digest') digests.add(key);
  });
  replaced.sort((a, b) => a - b);
  const gone = new Set(replaced);
  return {
    count: latest.size,
    deduplicated: replaced.length,
    columns: columns.map((column) => column.finish(replaced)),
    positions: `{${positions.filter((_, ordinal) => !gone.has(ordinal)).join()}}`,
    ...(sink.key === 'row-digest' && { digests: digests.finish(replaced) }),
  };
}

/** Texts hold no NUL, so that it parts them. */
function keyReader({ key, columns }: SinkManifest): (texts: Texts) => string {
  const at = (key as readonly string[]).map((name) => columns.findIndex((c) => c.name === name));
  const [only] = at;
  return at.length === 1 ? (texts) => texts[only!]! : (texts) => at.map((i) => texts[i]).join('\0');
}

/**
 * Lower-case hex SHA-256 over the columns that are not NULL, by name: neither the order of columns nor a new one
 * without values changes the digest of a row.
 */
function digester({ columns }: SinkManifest): (texts: Texts) => string {
  const sorted = columns.map((c, i) => ({ ...c, i })).sort((a, b) => (a.name < b.name ? -1 : 1));
  return (texts) => {
    const present: [string, unknown][] = [];
    for (const { name, type, i } of sorted) {
      const text = texts[i]!;
      if (text !== null) present.push([name, type === 'jsonb' ? sortKeys(JSON.parse(text)) : text]);
    }
    return hash('sha256', JSON.stringify(present), 'hex');
  };
}

/** `jsonb` does not keep the order of keys, so it says nothing about a row. */
function sortKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sortKeys);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, part]) => [key, sortKeys(part)]));
}
