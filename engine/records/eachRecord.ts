import type { FormatManifest } from '../../domain/pipelines/manifest.ts';
import { createBoundaries, isBlank } from './boundaries.ts';

/** Visits the records of a batch: where each begins and ends (its line ending not included), and on which line. */
export function eachRecord(
  bytes: Buffer,
  format: FormatManifest,
  firstLine: number,
  visit: (start: number, end: number, line: number) => void,
): void {
  const boundaries = createBoundaries(format);
  let line = firstLine;
  let start = 0;
  while (start < bytes.length) {
    const next = boundaries.next(bytes, start);
    const end = next < 0 ? bytes.length : next - 1;
    if (!isBlank(bytes, start, end)) visit(start, bytes[end - 1] === 0x0d ? end - 1 : end, line);
    if (next < 0) return;
    line += boundaries.lines;
    start = next;
  }
}
