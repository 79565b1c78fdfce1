import { isAscii, isUtf8 } from 'node:buffer';
import type { Boundaries, StreamLayout, VisitRecord } from '../../domain/connectors/formatKind.ts';
import type { Batch } from '../../domain/runs/batch.ts';

/** What formats of lines have in common: UTF-8 with or without a byte-order mark, LF or CRLF, empty lines skipped. */
export function textLayout(
  boundaries: () => Boundaries,
  readHeader?: StreamLayout['readHeader'],
): StreamLayout {
  return {
    access: 'stream',
    ignoredStart: byteOrderMark,
    mistakenFor,
    boundaries,
    // One byte more than the empty line has: its newline.
    isBlank: (bytes, start, end) => isEmptyLine(bytes, start, bytes[end - 1] === 0x0a ? end - 1 : end),
    ...(readHeader && { readHeader }),
  };
}

/** U+FEFF says nothing in UTF-8, but many tools write it. */
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);

/** Compressed data and web pages, such as those of a login, come where text was expected. */
function mistakenFor(head: Uint8Array): string | undefined {
  const text = Buffer.from(head).toString('latin1');
  if (/^\s*<(!doctype\s+html|html|head|body)[\s>]/i.test(text)) return 'HTML';
  if (text.startsWith('\x1f\x8b')) return 'gzip';
  if (text.startsWith('\x28\xb5\x2f\xfd')) return 'zstd';
  return text.startsWith('PK\x03\x04') ? 'ZIP' : undefined;
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
      const end = bytes[stop - 1] === 0x0d ? stop - 1 : stop;
      visit(start, end, line, read(decode(start, end)));
    }
    if (next < 0) return;
    line += boundaries.step;
    start = next;
  }
}

/** Most batches are ASCII as a whole, or at least UTF-8 as a whole; only in the others is each record asked. */
function decoderOf(bytes: Buffer): (start: number, end: number) => string | undefined {
  if (isAscii(bytes)) return (start, end) => bytes.toString('latin1', start, end);
  if (isUtf8(bytes)) return (start, end) => bytes.toString('utf8', start, end);
  return (start, end) =>
    isUtf8(bytes.subarray(start, end)) ? bytes.toString('utf8', start, end) : undefined;
}

function isEmptyLine(bytes: Uint8Array, start: number, end: number): boolean {
  return end === start || (end === start + 1 && bytes[start] === 0x0d);
}
