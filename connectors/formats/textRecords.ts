import { isAscii, isUtf8 } from 'node:buffer';
import type { Boundaries, StreamLayout, VisitRecord } from '../../domain/connectors/formatKind.ts';
import type { Batch } from '../../domain/runs/batch.ts';

/** What formats of lines have in common: UTF-8 with or without a byte-order mark, LF or CRLF, empty lines skipped. */
export function textLayout(
  boundaries: () => Boundaries,
  options: {
    /** What to do about data in another encoding, such as `utf-16le`. */
    advice: (encoding: string) => string;
    mistakenFor?: (text: string) => string | undefined;
    readHeader?: StreamLayout['readHeader'];
  },
): StreamLayout {
  const { advice, readHeader } = options;
  return {
    access: 'stream',
    ignoredStart: byteOrderMark,
    mistakenFor(head) {
      const encoding = otherEncoding(head);
      if (encoding) return `The data is ${encoding.toUpperCase()}. ${advice(encoding)}`;
      const text = Buffer.from(head).toString('latin1');
      return binaryFormat(text) ?? markup(text) ?? options.mistakenFor?.(text);
    },
    boundaries,
    // One byte more than the empty line has: its newline.
    isBlank: (bytes, start, end) => isEmptyLine(bytes, start, bytes[end - 1] === 0x0a ? end - 1 : end),
    ...(readHeader && { readHeader }),
  };
}

/** U+FEFF says nothing in UTF-8, but many tools write it. */
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/** By the mark at its start, or by a NUL in every other byte. */
function otherEncoding(head: Uint8Array): string | undefined {
  const [a, b, c, d] = head;
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? 'utf-32' : 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  if (head.length < 8) return undefined;
  const nul = (parity: number) => head.every((byte, at) => (at % 2 === parity) === (byte === 0));
  return nul(1) ? 'utf-16le' : nul(0) ? 'utf-16be' : undefined;
}

/** What the first bytes of a file are that plainly is no text; one character for each byte. */
export function binaryFormat(head: string): string | undefined {
  const compression = head.startsWith('\x1f\x8b')
    ? 'gzip'
    : head.startsWith('\x28\xb5\x2f\xfd')
      ? 'zstd'
      : undefined;
  if (compression)
    return `The data is ${compression}. Send it with Content-Encoding: ${compression}, or declare compression: '${compression}' at the source.`;
  const [, name] = binaryStarts.find(([start]) => start.test(head)) ?? [];
  return name && `The data is ${name}, which the pipeline does not declare. Send or name the text itself.`;
}

// biome-ignore-start lint/suspicious/noControlCharactersInRegex: magic numbers
const binaryStarts = [
  [/^PAR1[^\t\r\n\x20-\x7e]/, 'Parquet'],
  [/^PK\x03\x04/, 'ZIP'],
  [/^BZh[1-9]1AY/, 'bzip2'],
  [/^\xfd7zXZ\0/, 'xz'],
  [/^Obj\x01/, 'Avro'],
] as const;
// biome-ignore-end lint/suspicious/noControlCharactersInRegex: magic numbers

/** Web pages, such as those of a login, come where text was expected. */
function markup(head: string): string | undefined {
  if (/^\s*<(!doctype\s+html|html|head|body)[\s>]/i.test(head))
    return 'The data is HTML, such as a page for login. Check the source.';
  return /^\s*<\?xml\s/.test(head) ? 'The data is XML. Send or name data of the declared format.' : undefined;
}

/** Visits the records of a batch, each as text; `undefined` where it is not valid UTF-8. */
export function readText(
  { firstLine }: Pick<Batch, 'firstLine'>,
  bytes: Buffer,
  boundaries: Boundaries,
  read: (text: string | undefined) => Parameters<VisitRecord>[3],
  visit: VisitRecord,
): void {
  const decode = decoderOf(bytes);
  let line = firstLine;
  let start = 0;
  while (start < bytes.length) {
    const next = boundaries.next(bytes, start);
    const stop = next < 0 ? bytes.length : next - 1;
    if (!isEmptyLine(bytes, start, stop)) {
      // Only together with a line feed a carriage return ends a line.
      const end = next > 0 && bytes[stop - 1] === 0x0d ? stop - 1 : stop;
      visit(start, end, line, read(decode(start, end)));
    }
    if (next < 0) return;
    line += boundaries.step;
    start = next;
  }
}

/** Most batches are ASCII as a whole, or at least UTF-8 as a whole; only in the others is each record asked. */
export function decoderOf(bytes: Buffer): (start: number, end: number) => string | undefined {
  if (isAscii(bytes)) return (start, end) => bytes.toString('latin1', start, end);
  if (isUtf8(bytes)) return (start, end) => bytes.toString('utf8', start, end);
  return (start, end) =>
    isUtf8(bytes.subarray(start, end)) ? bytes.toString('utf8', start, end) : undefined;
}

function isEmptyLine(bytes: Uint8Array, start: number, end: number): boolean {
  return end === start || (end === start + 1 && bytes[start] === 0x0d);
}
