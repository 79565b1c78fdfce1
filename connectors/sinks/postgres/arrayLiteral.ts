import { LineWriter } from '../../lineWriter.ts';

/**
 * A PostgreSQL array literal of texts, to be cast to an array of the column’s type. Each text is quoted, so that
 * none is read as `NULL`, and quotes and backslashes are escaped; `null` is NULL.
 * Source: PostgreSQL 18, 8.15.6, https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO
 */
export class ArrayLiteral {
  readonly #written: LineWriter;
  /** Where each element ends. */
  readonly #ends: number[] = [];

  constructor(expectedBytes: number) {
    this.#written = new LineWriter(expectedBytes);
  }

  add(text: string | null): void {
    if (text === null) this.#written.ascii(',NULL');
    else this.#written.text(`,"${special.test(text) ? text.replace(specials, '\\$&') : text}"`);
    this.#ends.push(this.#written.sizeBytes);
  }

  /** @param left ordinals of elements to leave out, ascending */
  finish(left: readonly number[] = []): string {
    const { buffer } = this.#written.finish();
    const pieces: Buffer[] = [];
    let from = 0;
    for (const ordinal of left) {
      pieces.push(Buffer.from(buffer, from, (this.#ends[ordinal - 1] ?? 0) - from));
      from = this.#ends[ordinal]!;
    }
    pieces.push(Buffer.from(buffer, from, this.#written.sizeBytes - from));
    const elements = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    return `{${elements.toString('utf8', 1)}}`;
  }
}

export function arrayLiteral(texts: readonly (string | null)[]): string {
  const literal = new ArrayLiteral(texts.length * 16);
  for (const text of texts) literal.add(text);
  return literal.finish();
}

const special = /["\\]/;
const specials = /["\\]/g;
