import type { Boundaries } from '../../../domain/connectors/formatKind.ts';

const newline = 0x0a;
/** No byte has this value, so that nothing is found. */
const noByte = 0x100;

/**
 * RFC 4180 with LF or CRLF. A newline inside quotes belongs to the record; a quote opens only as the first byte of a
 * field, and inside quotes two of them mean one. A quote elsewhere is an ordinary byte here; reading the fields of
 * the record rejects it. Bytes without quotes pass at the speed of `indexOf`.
 */
export class CsvBoundaries implements Boundaries {
  /** Lines that the record found last covers, its own newline included. */
  step = 1;
  readonly #delimiter: number;
  readonly #quote: number;
  /** `closing`: the last byte was a quote inside quotes; the next one tells whether the field ended. */
  #state: 'plain' | 'quoted' | 'closing' = 'plain';
  #linesInside = 0;
  /** Whether the byte asked for next is the first of a field. */
  #fieldStarts = true;
  // What `indexOf` said last, so that no stretch of a chunk is searched twice.
  #chunk: Buffer | undefined;
  #quoteAt = -1;
  #newlineAt = -1;

  /** Both are one ASCII character; without a quote each line is a record. */
  constructor(delimiter: string, quote: string | false) {
    this.#delimiter = delimiter.charCodeAt(0);
    this.#quote = quote === false ? noByte : quote.charCodeAt(0);
  }

  get unfinished(): 'UnterminatedQuote' | undefined {
    return this.#state === 'quoted' ? 'UnterminatedQuote' : undefined;
  }

  next(chunk: Buffer, from: number): number {
    const quote = this.#quote;
    if (chunk !== this.#chunk) {
      this.#chunk = chunk;
      this.#quoteAt = quote === noByte ? -1 : chunk.indexOf(quote, from);
      this.#newlineAt = chunk.indexOf(newline, from);
    }
    let at = from;
    for (;;) {
      if (this.#state === 'quoted') {
        const closes = this.#seekQuote(chunk, at);
        this.#countLines(chunk, at, closes < 0 ? chunk.length : closes);
        if (closes < 0) return -1;
        at = closes + 1;
        this.#state = 'closing';
      }
      if (this.#state === 'closing') {
        if (at >= chunk.length) return -1;
        const escaped = chunk[at] === quote;
        this.#state = escaped ? 'quoted' : 'plain';
        this.#fieldStarts = false;
        if (escaped) {
          at++;
          continue;
        }
      }
      const ends = this.#seekNewline(chunk, at);
      const opens = this.#seekQuote(chunk, at);
      if (opens >= 0 && (ends < 0 || opens < ends)) {
        const first = opens > from ? chunk[opens - 1] === this.#delimiter : this.#fieldStarts;
        if (first) this.#state = 'quoted';
        at = opens + 1;
        this.#fieldStarts = false;
      } else if (ends < 0) {
        if (chunk.length > from) this.#fieldStarts = chunk[chunk.length - 1] === this.#delimiter;
        return -1;
      } else {
        this.step = this.#linesInside + 1;
        this.#linesInside = 0;
        this.#fieldStarts = true;
        return ends + 1;
      }
    }
  }

  #seekQuote(chunk: Buffer, at: number): number {
    if (this.#quoteAt >= 0 && this.#quoteAt < at) this.#quoteAt = chunk.indexOf(this.#quote, at);
    return this.#quoteAt;
  }

  #seekNewline(chunk: Buffer, at: number): number {
    if (this.#newlineAt >= 0 && this.#newlineAt < at) this.#newlineAt = chunk.indexOf(newline, at);
    return this.#newlineAt;
  }

  #countLines(chunk: Buffer, from: number, to: number): void {
    for (let at = from; ; at++) {
      at = this.#seekNewline(chunk, at);
      if (at < 0 || at >= to) return;
      this.#linesInside++;
    }
  }
}
