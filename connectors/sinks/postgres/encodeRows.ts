import { hash } from 'node:crypto';
import type { RowEncoder, RowTexts } from '../../../domain/connectors/sinkKind.ts';
import { ExactNumber, parseExactJson, writeExactJson } from '../../../domain/json/parseExactJson.ts';
import { scanJson } from '../../../domain/json/scanJson.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { type RecordRejection, rejections } from '../../../domain/runs/rejection.ts';
import { ArrayLiteral } from './arrayLiteral.ts';
import { columnText, type Unstorable } from './columnText.ts';
import type { PostgresRows } from './encodedRows.ts';
import { keyColumns } from './sinkColumns.ts';

/** Rows become one array literal a column, in the order of the source. */
export function createEncoder(sink: SinkManifest): RowEncoder {
  const keyOf = keyColumns(sink) ? keyReader(sink) : digester(sink);
  return {
    keyOf,
    write: (row) => writeRow(sink, row),
    encode: (each, sizeBytes) => encodeRows(sink, keyOf, each, sizeBytes),
  };
}

/**
 * An entry of a B-tree has at most 2,704 bytes, tenant and overhead included; a key that is longer would fail the
 * batch. Source: PostgreSQL, `BTMaxItemSize`.
 */
const keyBytesMax = 2_000;

function writeRow(sink: SinkManifest, row: Record<string, unknown>): RowTexts | RecordRejection {
  const key = keyColumns(sink);
  const texts: (string | null)[] = [];
  let keyUnits = 0;
  for (const { name, type, nullable } of sink.columns) {
    const text = columnText(type, row[name]);
    if (text !== null && typeof text === 'object') return rejection(text.code, pathOf(name, text), type);
    if (text === null && !nullable) return rejection('OutputMismatch', name, type);
    if (text !== null && key?.includes(name)) keyUnits += text.length;
    texts.push(text);
  }
  if (key && keyUnits * 3 > keyBytesMax && keyBytes(sink, key, texts) > keyBytesMax) {
    const message = `The key has more than ${keyBytesMax} bytes.`;
    return { code: 'OutputMismatch', path: key[0]!, message };
  }
  return texts;
}

function rejection(code: keyof typeof rejections, path: string, type: string): RecordRejection {
  const message =
    code === 'OutputMismatch' ? `The value does not fit a column of type ${type}.` : rejections[code];
  return { code, path, message };
}

const pathMax = 256;

function pathOf(column: string, { path }: Unstorable): string {
  return (path ? `${column}.${path}` : column).slice(0, pathMax);
}

function keyBytes(sink: SinkManifest, key: readonly string[], texts: RowTexts): number {
  let sizeBytes = 0;
  sink.columns.forEach((column, i) => {
    if (key.includes(column.name)) sizeBytes += Buffer.byteLength(texts[i] ?? '');
  });
  return sizeBytes;
}

/**
 * Of rows with one key the last stays. No row is kept as an object, which would cost more to collect than everything
 * else here; what a later row replaced is cut out of the literals at the end.
 */
function encodeRows(
  sink: SinkManifest,
  keyOf: (texts: RowTexts) => string,
  each: Parameters<RowEncoder['encode']>[0],
  sizeBytes: number,
): PostgresRows {
  const digested = !keyColumns(sink);
  const latest = new Map<string, number>();
  const replaced: number[] = [];
  const columns = sink.columns.map(() => new ArrayLiteral(sizeBytes / sink.columns.length));
  const positions: number[] = [];
  const digests = new ArrayLiteral(1024);
  let emitted = 0;
  each((position, texts) => {
    const key = keyOf(texts);
    const earlier = latest.get(key);
    if (earlier !== undefined) replaced.push(earlier);
    latest.set(key, emitted++);
    for (let i = 0; i < columns.length; i++) columns[i]!.add(texts[i]!);
    positions.push(position);
    if (digested) digests.add(key);
  });
  replaced.sort((a, b) => a - b);
  const gone = new Set(replaced);
  return {
    count: latest.size,
    deduplicated: replaced.length,
    columns: columns.map((column) => column.finish(replaced)),
    positions: `{${positions.filter((_, ordinal) => !gone.has(ordinal)).join()}}`,
    ...(digested && { digests: digests.finish(replaced) }),
  };
}

/** Texts hold no NUL, so that it parts them. */
function keyReader(sink: SinkManifest): (texts: RowTexts) => string {
  const at = keyColumns(sink)!.map((name) => sink.columns.findIndex((c) => c.name === name));
  const [only] = at;
  return at.length === 1 ? (texts) => texts[only!]! : (texts) => at.map((i) => texts[i]).join('\0');
}

/**
 * Lower-case hex SHA-256 over the columns that are not NULL, by name: neither the order of columns nor a new one
 * without values changes the digest of a row.
 */
function digester({ columns }: SinkManifest): (texts: RowTexts) => string {
  const sorted = columns.map((c, i) => ({ ...c, i })).sort((a, b) => (a.name < b.name ? -1 : 1));
  return (texts) => {
    const present: [string, unknown][] = [];
    let write: (value: unknown) => string = JSON.stringify;
    for (const { name, type, i } of sorted) {
      const text = texts[i]!;
      if (text === null) continue;
      if (type !== 'jsonb') present.push([name, text]);
      else if (!scanJson(text, depthMax).doubtful) present.push([name, sortKeys(JSON.parse(text))]);
      else {
        present.push([name, sortKeys(parseExactJson(text).value)]);
        write = writeExactJson;
      }
    }
    return hash('sha256', write(present), 'hex');
  };
}

const depthMax = 64;

/** `jsonb` does not keep the order of keys, so it says nothing about a row. */
function sortKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) return value;
  if (Array.isArray(value)) return value.map(sortKeys);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, part]) => [key, sortKeys(part)]));
}
