import { z } from 'zod';
import type { FormatKind, StreamLayout, VisitRecord } from '../../../domain/connectors/formatKind.ts';
import type { Batch } from '../../../domain/runs/batch.ts';
import { readJson } from '../ndjson/readJson.ts';
import { decoderOf, textLayout } from '../textRecords.ts';
import { isSpace, JsonArrayBoundaries, skipSpace } from './jsonArrayBoundaries.ts';

/** One JSON array of objects (`application/json; profile=records`), UTF-8, of any size: it is never parsed as a whole. */
export function json(): { name: 'json' } {
  return { name: 'json' };
}

const layout: StreamLayout = {
  ...textLayout(() => new JsonArrayBoundaries(), {
    advice: () => 'Convert it to UTF-8.',
    mistakenFor: (text) =>
      /^\s*[^\s[]/.test(text) ? 'The data is not a JSON array. Send one array of objects.' : undefined,
  }),
  boundaries: (before) => new JsonArrayBoundaries(before),
  isBlank,
};

/** White space, or an array without items. */
function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  const opens = skipSpace(bytes, start, end);
  if (opens === end) return true;
  if (bytes[opens] !== 0x5b) return false;
  const closes = skipSpace(bytes, opens + 1, end);
  return closes < end && bytes[closes] === 0x5d && skipSpace(bytes, closes + 1, end) === end;
}

export const jsonFormat: FormatKind = {
  name: 'json',
  summary: 'One JSON array of objects.',
  mediaType: 'application/json; profile=records',
  options: z.object({}),
  locates: 'index',
  growing: false,
  takesRecords: false,
  create: (manifest) => ({ kind: jsonFormat, manifest, isJson: true, layout, read }),
};

function read({ firstRecord, firstLine }: Batch, bytes: Buffer, visit: VisitRecord): void {
  const decode = decoderOf(bytes);
  const boundaries = layout.boundaries(firstRecord > 0 ? Buffer.from(',') : undefined);
  let opens = firstRecord === 0;
  let index = firstLine;
  for (let start = 0; start < bytes.length; ) {
    const found = boundaries.next(bytes, start);
    const stop = found < 0 ? bytes.length : found;
    if (!layout.isBlank(bytes, start, stop)) {
      let first = skipSpace(bytes, start);
      if (opens && bytes[first] === 0x5b) first = skipSpace(bytes, first + 1);
      opens = false;
      // Without the comma or the bracket behind it.
      let end = Math.max(first, stop - 1);
      while (end > first && isSpace(bytes[end - 1]!)) end--;
      const text = decode(first, end);
      visit(first, end, index++, text === undefined ? 'InvalidUtf8' : readJson(text));
    }
    start = stop;
  }
}
