import { slotCount } from '../../../domain/connectors/lanes.ts';
import { LineWriter } from '../../lineWriter.ts';

/**
 * Rows as PostgreSQL’s `COPY` reads them: a line for each row, columns separated by tabs, `\N` for NULL.
 * Source: PostgreSQL 18, COPY, “Text Format”, https://www.postgresql.org/docs/18/sql-copy.html
 */
export class CopyText {
  readonly #lines: LineWriter;
  /** Where each row begins. */
  readonly #starts: number[] = [];

  constructor(expectedBytes: number) {
    this.#lines = new LineWriter(expectedBytes);
  }

  get rows(): number {
    return this.#starts.length;
  }

  /** @param line a whole row, with its newline */
  add(line: string): void {
    this.#starts.push(this.#lines.sizeBytes);
    this.#lines.text(line);
  }

  get sizeBytes(): number {
    return this.#lines.sizeBytes;
  }

  /**
   * @param left ordinals of rows to leave out, ascending
   * @param slots of each row
   */
  finishSlotted(left: readonly number[], slots: Uint8Array): { bytes: Uint8Array; sizes: number[] } {
    const lines = this.#lines.finish();
    const from = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
    const out = new Set(left);
    const sizes = Array.from({ length: slotCount }, () => 0);
    const endOf = (row: number) => this.#starts[row + 1] ?? from.length;
    for (let row = 0; row < this.rows; row++)
      if (!out.has(row)) sizes[slots[row]!]! += endOf(row) - this.#starts[row]!;
    let used = 0;
    const at = sizes.map((size) => {
      used += size;
      return used - size;
    });
    const bytes = Buffer.allocUnsafeSlow(used);
    for (let row = 0; row < this.rows; row++)
      if (!out.has(row)) at[slots[row]!]! += from.copy(bytes, at[slots[row]!], this.#starts[row], endOf(row));
    this.#lines.free();
    return { bytes: new Uint8Array(bytes.buffer, 0, used), sizes };
  }

  /** @param left ordinals of rows to leave out, ascending */
  finish(left: readonly number[]): Uint8Array {
    const bytes = this.#lines.finish();
    if (left.length === 0) return bytes;
    let used = this.#starts[left[0]!]!;
    for (let i = 0; i < left.length; i++) {
      const from = this.#starts[left[i]! + 1] ?? bytes.length;
      const to = i + 1 < left.length ? this.#starts[left[i + 1]!]! : bytes.length;
      bytes.copyWithin(used, from, to);
      used += to - from;
    }
    return bytes.subarray(0, used);
  }
}

/** Reads rows back, at most so many. */
export function readCopyText(bytes: Uint8Array, rowsMax = Number.POSITIVE_INFINITY): (string | null)[][] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows: (string | null)[][] = [];
  for (let from = 0; from < buffer.length && rows.length < rowsMax; ) {
    const end = buffer.indexOf(0x0a, from);
    rows.push(buffer.toString('utf8', from, end).split('\t').map(unescaped));
    from = end + 1;
  }
  return rows;
}

const special = /[\\\t\n\r]/;
const specials = /[\\\t\n\r]/g;
const letters: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };
const characters: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };

export function escapeField(text: string | null): string {
  if (text === null) return '\\N';
  return special.test(text) ? text.replace(specials, escaped) : text;
}

function escaped(character: string): string {
  return letters[character]!;
}

function unescaped(text: string): string | null {
  if (text === '\\N') return null;
  return text.includes('\\') ? text.replace(/\\(.)/g, (_, letter: string) => characters[letter]!) : text;
}
