import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Compressors, FileMetaData } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { compressors } from 'hyparquet-compressors';

type RowGroup = FileMetaData['row_groups'][number];

/** A page is decoded as a whole; tools write pages of 1 MiB or 20,000 values. */
const pageBytesMax = 256 * 1024 * 1024;
const pageValuesMax = 16 * 1024 * 1024;
/** So many values lie in memory at once: of all columns those of one page, or all of a nested column. */
const valuesMax = 32 * 1024 * 1024;

/** What is wrong with a row group, said to people. */
export class Unreadable extends Error {}

/** Where the bytes of a row group are. Throws `Unreadable` where that is not within the file. */
export function rangeOf({ columns }: RowGroup, sizeBytes: number): { start: number; end: number } {
  const ranges = columns.map((column) => chunkOf(column));
  const start = Math.min(...ranges.map((one) => one.start));
  const end = Math.max(...ranges.map((one) => one.end));
  const isInside = ranges.every((one) => one.start >= 4 && one.end >= one.start && one.end <= sizeBytes);
  if (!isInside) throw new Unreadable('a column lies outside of the file');
  return { start, end };
}

function chunkOf({ file_path, meta_data: meta }: RowGroup['columns'][number]): {
  start: number;
  end: number;
} {
  if (file_path) throw new Unreadable('a column is in another file');
  if (!meta) throw new Unreadable('a column has no description');
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
  return { start, end: start + Number(meta.total_compressed_size) };
}

/**
 * Compares what the headers of all pages say with what is there, before a page is decoded: the library believes them and makes room
 * for as many values as they name. Throws `Unreadable`.
 * @param bytes of the row group, from `start` on
 * @param flat whether each row has one value of each column
 */
export function checkPages(group: RowGroup, bytes: Uint8Array, start: number, flat: boolean): void {
  const rows = Number(group.num_rows);
  let held = 0;
  for (const column of group.columns) {
    const chunk = chunkOf(column);
    const view = new DataView(bytes.buffer, bytes.byteOffset + chunk.start - start, chunk.end - chunk.start);
    const { values, largest } = countValues(view, flat ? rows : Number.POSITIVE_INFINITY);
    if (values < rows) throw new Unreadable('a column has fewer values than there are rows');
    held += flat ? largest : values;
    if (held > valuesMax)
      throw new Unreadable(
        `it has more than ${valuesMax} values at once. Write smaller pages and row groups`,
      );
  }
}

function countValues(view: DataView, enough: number): { values: number; largest: number } {
  const reader = { view, offset: 0 };
  let values = 0;
  let largest = 0;
  while (values < enough && reader.offset < view.byteLength - 1) {
    const header = parquetHeader(reader);
    const { compressed_page_size: packed, uncompressed_page_size: unpacked } = header;
    if (!isUpTo(packed, view.byteLength - reader.offset)) throw new Unreadable('a page has no end');
    if (!isUpTo(unpacked, pageBytesMax))
      throw new Unreadable(`a page has more than ${pageBytesMax} bytes. Write smaller pages`);
    const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: words } = header;
    const count = (v1 ?? v2 ?? words)?.num_values;
    if (!isUpTo(count, pageValuesMax))
      throw new Unreadable(`a page has more than ${pageValuesMax} values. Write smaller pages`);
    if (v2) {
      const levels = v2.definition_levels_byte_length + v2.repetition_levels_byte_length;
      if (
        !isUpTo(v2.num_nulls, count) ||
        !isUpTo(v2.num_rows, count) ||
        !isUpTo(levels, Math.min(packed, unpacked))
      )
        throw new Unreadable('the header of a page contradicts itself');
    }
    if (!words) values += count;
    largest = Math.max(largest, count);
    reader.offset += packed;
  }
  return { values, largest };
}

function isUpTo(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

/** As the library has them; Node’s own ones are quicker and stop at the length that the page names. */
export const pageCompressors: Compressors = {
  ...compressors,
  GZIP: (bytes, length) => gunzipSync(bytes, bound(length)),
  BROTLI: (bytes, length) => brotliDecompressSync(bytes, bound(length)),
  ZSTD: (bytes, length) => zstdDecompressSync(bytes, bound(length)),
};

function bound(length: number): { maxOutputLength: number } {
  return { maxOutputLength: Math.max(1, length) };
}
