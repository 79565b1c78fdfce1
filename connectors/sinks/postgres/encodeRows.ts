import { hash } from 'node:crypto';
import { slotOf } from '../../../domain/connectors/lanes.ts';
import type { EncodedBatch, RowEncoder, RowTexts, RowWriter } from '../../../domain/connectors/sinkKind.ts';
import { ExactNumber, parseExactJson, writeExactJson } from '../../../domain/json/parseExactJson.ts';
import { scanJson } from '../../../domain/json/scanJson.ts';
import type { Column, SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { type RecordRejection, rejections } from '../../../domain/runs/rejection.ts';
import { columnText, type Unstorable } from './columnText.ts';
import { CopyText, escapeField, readCopyText } from './copyText.ts';
import { arraysBytesMax } from './incomingRows.ts';
import { keyMeter, rowBytesMax, rowMeter } from './rowSize.ts';
import { isDigested, keyColumns } from './sinkColumns.ts';

/** Rows become the text of `COPY`, in the order of the source. Of rows with one key the last stays; without a key all do. */
export function createEncoder(sink: SinkManifest): RowEncoder {
  return { begin: (expectedBytes) => new Writer(sink, expectedBytes), read: readCopyText };
}

/** A row as it is copied. */
interface Line {
  key: string | undefined;
  text: string;
}

/** Keeps no row as an object, which would cost more to collect than everything else here. */
class Writer implements RowWriter {
  readonly #columns: readonly Column[];
  readonly #isKeyTooLarge: (texts: RowTexts) => boolean;
  readonly #isRowTooLarge: ((texts: RowTexts) => boolean) | undefined;
  readonly #keyOf: ((texts: RowTexts) => string) | undefined;
  readonly #keyPath: string;
  readonly #isDigested: boolean;
  /** Then a row is in the database of its slot, however few rows there are. */
  readonly #isSharded: boolean;
  readonly #copy: CopyText;
  /** The ordinal of the last row of each key. */
  readonly #latest = new Map<string, number>();
  readonly #replaced: number[] = [];
  /** The slot of each row; `undefined` where the batch is not stored in lanes. */
  #slots: Uint8Array | undefined;
  /** Of the row at hand. */
  readonly #texts: (string | null)[];

  constructor(sink: SinkManifest, expectedBytes: number) {
    const key = keyColumns(sink);
    this.#columns = sink.columns;
    this.#isKeyTooLarge = keyMeter(sink);
    this.#isRowTooLarge = rowMeter(sink);
    this.#keyPath = key?.[0] ?? '';
    this.#isDigested = isDigested(sink);
    this.#keyOf = key ? keyReader(sink) : this.#isDigested ? digester(sink) : undefined;
    this.#isSharded = sink.shards !== undefined;
    this.#copy = new CopyText(expectedBytes);
    if (this.#keyOf && (sink.lanes !== 1 || this.#isSharded)) this.#slots = new Uint8Array(1_024);
    this.#texts = sink.columns.map(() => null);
  }

  add(position: number, rows: readonly Record<string, unknown>[]): RecordRejection | undefined {
    const lines = this.#lines(position, rows);
    if ('code' in lines) return lines;
    this.#add(lines);
    return undefined;
  }

  encode(position: number, rows: readonly Record<string, unknown>[]): RecordRejection | (() => void) {
    const lines = this.#lines(position, rows);
    return 'code' in lines ? lines : () => this.#add(lines);
  }

  #lines(position: number, rows: readonly Record<string, unknown>[]): Line[] | RecordRejection {
    const lines: Line[] = [];
    for (const row of rows) {
      const line = this.#encode(row, position);
      if ('code' in line) return line;
      lines.push(line);
    }
    return lines;
  }

  #add(lines: readonly Line[]): void {
    // Rows of one record may be in several lanes, and the database may reject one of them: then none of them may stay.
    if (lines.length > 1 && !this.#isSharded) this.#slots = undefined;
    for (const { key, text } of lines) {
      if (key !== undefined) {
        const earlier = this.#latest.get(key);
        if (earlier !== undefined) this.#replaced.push(earlier);
        this.#latest.set(key, this.#copy.rows);
        this.#noteSlot(key);
      }
      this.#copy.add(text);
    }
  }

  finish({ slotted = false } = {}): EncodedBatch {
    const replaced = this.#replaced.sort((a, b) => a - b);
    const slots = this.#slots;
    if (!slotted || !slots || (this.#copy.sizeBytes <= arraysBytesMax && !this.#isSharded))
      return { bytes: this.#copy.finish(replaced), replaced };
    const { bytes, sizes } = this.#copy.finishSlotted(replaced, slots);
    const emitted = sizes.map(() => 0);
    for (let row = 0; row < this.#copy.rows; row++) emitted[slots[row]!]!++;
    return { bytes, replaced, slots: sizes.map((sizeBytes, i) => ({ sizeBytes, emitted: emitted[i]! })) };
  }

  #noteSlot(key: string): void {
    const slots = this.#slots;
    if (!slots) return;
    const { rows } = this.#copy;
    if (rows === slots.length) {
      this.#slots = new Uint8Array(rows * 2);
      this.#slots.set(slots);
    }
    this.#slots![rows] = slotOf(key);
  }

  #encode(row: Record<string, unknown>, position: number): Line | RecordRejection {
    const texts = this.#texts;
    let text = '';
    for (let i = 0; i < texts.length; i++) {
      const { name, type, nullable } = this.#columns[i]!;
      const field = columnText(type, row[name]);
      if (field === null) {
        if (!nullable) return rejection('OutputMismatch', name, type);
      } else if (typeof field === 'object') return rejection(field.code, pathOf(name, field), type);
      texts[i] = field;
      // A text of V8 has an end.
      if ((field?.length ?? 0) + text.length > rowBytesMax) return rejection('RowTooLarge', name, type);
      text += copyField(type, field);
    }
    if (this.#isKeyTooLarge(texts)) return rejection('KeyTooLarge', this.#keyPath, '');
    if (
      this.#isRowTooLarge?.(texts) ||
      (text.length * 3 > rowBytesMax && Buffer.byteLength(text) > rowBytesMax)
    )
      return rejection('RowTooLarge', '', '');
    const key = this.#keyOf?.(texts);
    return { key, text: `${text}${this.#isDigested ? `${key}\t` : ''}${position}\n` };
  }
}

/** Only a text and JSON can hold what `COPY` reads otherwise. */
function copyField(type: SqlType, field: string | null): string {
  return `${type === 'text' || type === 'jsonb' || field === null ? escapeField(field) : field}\t`;
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
  // Equal rows of two files are equal.
  const valued = columns.map((c, i) => ({ ...c, i })).filter(({ name }) => name !== '_source');
  const sorted = valued.sort((a, b) => (a.name < b.name ? -1 : 1));
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
