import { LineWriter } from './lineWriter.ts';

/**
 * A PostgreSQL array literal of texts, to be cast to an array of the column’s type. Each text is quoted, so that
 * none is read as `NULL`, and quotes and backslashes are escaped; `null` is NULL.
 * Source: PostgreSQL 18, 8.15.6, https://www.postgresql.org/docs/18/arrays.html#ARRAYS-IO
 */
export class ArrayLiteral {
  readonly #written: LineWriter;
  #delimiter = '{';

  constructor(expectedBytes: number) {
    this.#written = new LineWriter(expectedBytes);
  }

  add(text: string | null): void {
    if (text === null) this.#written.ascii(`${this.#delimiter}NULL`);
    else {
      const safe = special.test(text) ? text.replace(specials, '\\$&') : text;
      this.#written.text(`${this.#delimiter}"${safe}"`);
    }
    this.#delimiter = ',';
  }

  finish(): string {
    this.#written.ascii(this.#delimiter === '{' ? '{}' : '}');
    return Buffer.from(this.#written.finish().buffer, 0, this.#written.sizeBytes).toString();
  }
}

export function arrayLiteral(texts: readonly (string | null)[]): string {
  const literal = new ArrayLiteral(texts.length * 16);
  for (const text of texts) literal.add(text);
  return literal.finish();
}

const special = /["\\]/;
const specials = /["\\]/g;
