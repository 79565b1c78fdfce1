import type { FormatManifest } from '../../domain/pipelines/manifest.ts';

const newline = 0x0a;
const quote = 0x22;

/**
 * Finds where records end in bytes that arrive in chunks cut anywhere. Receiver and validation use the same one, so
 * that they can never disagree about what a record is.
 */
export interface Boundaries {
  /**
   * Index just after the next record’s last byte (its newline), or -1 where the chunk ends before. Ask from the
   * index last returned; ask a new chunk from 0 after -1.
   */
  next(chunk: Buffer, from: number): number;
  /** Lines that the record found last covers, its own newline included. */
  readonly lines: number;
  /** Whether a quoted field is still open. */
  readonly open: boolean;
}

export function createBoundaries(format: FormatManifest): Boundaries {
  return format.name === 'csv' ? new CsvBoundaries(format.delimiter) : new LineBoundaries();
}

class LineBoundaries implements Boundaries {
  readonly lines = 1;
  readonly open = false;

  next(chunk: Buffer, from: number): number {
    const at = chunk.indexOf(newline, from);
    return at < 0 ? -1 : at + 1;
  }
}

/**
 * RFC 4180 with LF or CRLF. A newline inside quotes belongs to the record; a quote opens only as the first byte of a
 * field, and inside quotes two of them mean one. A quote elsewhere is an ordinary byte here; reading the fields of
 * the record refuses it. Bytes without quotes pass at the speed of `indexOf`.
 */
class CsvBoundaries implements Boundaries {
  lines = 1;
  readonly #delimiter: number;
  /** `closing`: the last byte was a quote inside quotes; the next one tells whether the field ended. */
  #state: 'plain' | 'quoted' | 'closing' = 'plain';
  #linesInside = 0;
  /** Whether the byte asked for next is the first of a field. */
  #fieldStarts = true;
  // What `indexOf` said last, so that no stretch of a chunk is searched twice.
  #chunk: Buffer | undefined;
  #quoteAt = -1;
  #newlineAt = -1;

  constructor(delimiter: string) {
    this.#delimiter = delimiter.charCodeAt(0);
  }

  get open(): boolean {
    return this.#state === 'quoted';
  }

  next(chunk: Buffer, from: number): number {
    if (chunk !== this.#chunk) {
      this.#chunk = chunk;
      this.#quoteAt = chunk.indexOf(quote, from);
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
        this.lines = this.#linesInside + 1;
        this.#linesInside = 0;
        this.#fieldStarts = true;
        return ends + 1;
      }
    }
  }

  #seekQuote(chunk: Buffer, at: number): number {
    if (this.#quoteAt >= 0 && this.#quoteAt < at) this.#quoteAt = chunk.indexOf(quote, at);
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

/** Whether a record, its newline not included, is an empty line, which every format skips. */
export function isBlank(chunk: Uint8Array, from: number, to: number): boolean {
  return to === from || (to === from + 1 && chunk[from] === 0x0d);
}
