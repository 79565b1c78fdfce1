import { hash } from 'node:crypto';
import type { EncodedBatch, RowEncoder, RowTexts, RowWriter } from '../../../domain/connectors/sinkKind.ts';
import { ExactNumber, parseExactJson, writeExactJson } from '../../../domain/json/parseExactJson.ts';
import { scanJson } from '../../../domain/json/scanJson.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { type RecordRejection, rejections } from '../../../domain/runs/rejection.ts';
import { columnText, type Unstorable } from './columnText.ts';
import { CopyText, readCopyText } from './copyText.ts';
import { keyColumns } from './sinkColumns.ts';

/** Rows become the text of `COPY`, in the order of the source. Of rows with one key the last stays. */
export function createEncoder(sink: SinkManifest): RowEncoder {
  return { begin: (expectedBytes) => new Writer(sink, expectedBytes), read: readCopyText };
}

/** No row is kept as an object, which would cost more to collect than everything else here. */
class Writer implements RowWriter {
  readonly #sink: SinkManifest;
  readonly #keyOf: (texts: RowTexts) => string;
  readonly #digested: boolean;
  readonly #copy: CopyText;
  /** The ordinal of the last row of each key. */
  readonly #latest = new Map<string, number>();
  readonly #replaced: number[] = [];

  constructor(sink: SinkManifest, expectedBytes: number) {
    this.#sink = sink;
    this.#digested = !keyColumns(sink);
    this.#keyOf = this.#digested ? digester(sink) : keyReader(sink);
    this.#copy = new CopyText(expectedBytes);
  }

  add(position: number, rows: readonly Record<string, unknown>[]): RecordRejection | undefined {
    const written: (string | null)[][] = [];
    for (const row of rows) {
      const texts = writeRow(this.#sink, row);
      if (!Array.isArray(texts)) return texts;
      written.push(texts);
    }
    for (const texts of written) {
      const key = this.#keyOf(texts);
      const earlier = this.#latest.get(key);
      if (earlier !== undefined) this.#replaced.push(earlier);
      this.#latest.set(key, this.#copy.rows);
      if (this.#digested) texts.push(key);
      texts.push(String(position));
      this.#copy.add(texts);
    }
    return undefined;
  }

  finish(): EncodedBatch {
    const replaced = this.#replaced.sort((a, b) => a - b);
    return { bytes: this.#copy.finish(replaced), replaced };
  }
}

/**
 * An entry of a B-tree has at most 2,704 bytes, tenant and overhead included; a key that is longer would fail the
 * batch. Source: PostgreSQL, `BTMaxItemSize`.
 */
const keyBytesMax = 2_000;

function writeRow(sink: SinkManifest, row: Record<string, unknown>): (string | null)[] | RecordRejection {
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
