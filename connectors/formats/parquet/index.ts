import { z } from 'zod';
import type { FormatKind, VisitRecord } from '../../../domain/connectors/formatKind.ts';
import type { Batch } from '../../../domain/runs/batch.ts';
import { readJson } from '../ndjson/readJson.ts';
import { cutInProcess } from './cutInProcess.ts';

/**
 * Apache Parquet (`application/vnd.apache.parquet`), flat or nested, read one row group at a time. The input schema sees 64-bit
 * integers as numbers or bigints, whichever it names, and decimals, dates and times as text with each of their digits.
 */
export function parquet(): { name: 'parquet' } {
  return { name: 'parquet' };
}

export const parquetFormat: FormatKind = {
  name: 'parquet',
  summary: 'Apache Parquet, read by row groups.',
  mediaType: 'application/vnd.apache.parquet',
  options: z.object({}),
  locates: 'row',
  growing: false,
  takesRecords: false,
  create: (manifest) => ({
    kind: parquetFormat,
    manifest,
    isJson: true,
    layout: { access: 'file', cut: cutInProcess },
    read,
  }),
};

/** The rows as `cutParquet` wrote them: one a line. */
function read({ firstLine }: Batch, bytes: Buffer, visit: VisitRecord): void {
  let row = firstLine;
  for (let start = 0; start < bytes.length; ) {
    const next = bytes.indexOf(0x0a, start);
    const end = next < 0 ? bytes.length : next;
    visit(start, end, row++, readJson(bytes.toString('utf8', start, end)));
    start = end + 1;
  }
}
