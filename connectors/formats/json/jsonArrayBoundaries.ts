import type { Boundaries } from '../../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../../domain/errors.ts';

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;

/**
 * Where the items of one JSON array end: each with its comma, the last with the bracket of the array. Only brackets and
 * strings are told apart; whether an item is JSON is for its reader to say. Throws `FormatMismatch` for data after the array.
 */
export class JsonArrayBoundaries implements Boundaries {
  /** 0 for white space around the array. */
  step = 1;
  #depth: number;
  #quoted = false;
  #escaped = false;
  #ended: boolean;

  /** @param before the bytes before the first, where that is not the beginning of the array: they end with an item */
  constructor(before?: Buffer) {
    const last = before && lastOf(before);
    this.#ended = last !== undefined && last !== comma;
    this.#depth = last === comma ? 1 : 0;
  }

  get unfinished(): undefined {
    return undefined;
  }

  checkEnd(): void {
    if (this.#ended) return;
    throw mismatch('The JSON array has no end: the data was cut off, or a bracket or a quote is missing.');
  }

  next(chunk: Buffer, from: number): number {
    if (this.#ended || this.#depth === 0) {
      const at = skipSpace(chunk, from);
      // White space around the array is no part of an item, however long it is and wherever a chunk ends.
      if (at > from) {
        this.step = 0;
        return at;
      }
      if (this.#ended && at < chunk.length) throw mismatch('More data follows the end of the JSON array.');
    }
    this.step = 1;
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#quoted) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === backslash) this.#escaped = true;
        else if (byte === quote) this.#quoted = false;
      } else if (byte === quote) this.#quoted = true;
      else if (byte === comma) {
        if (this.#depth === 1) return at + 1;
      } else if (byte === 0x7b || byte === 0x5b) this.#depth++;
      else if ((byte === 0x7d || byte === 0x5d) && --this.#depth <= 0) {
        this.#ended = true;
        return at + 1;
      }
    }
    return -1;
  }
}

/** The last byte that is no white space. */
function lastOf(bytes: Buffer): number | undefined {
  for (let at = bytes.length - 1; at >= 0; at--) if (!isSpace(bytes[at]!)) return bytes[at];
  return undefined;
}

export function skipSpace(bytes: Uint8Array, from: number, to = bytes.length): number {
  let at = from;
  while (at < to && isSpace(bytes[at]!)) at++;
  return at;
}

export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function mismatch(publicDetail: string): WaybillError {
  return new WaybillError('FormatMismatch', { publicDetail });
}
