import type { SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { isDigested, keyColumns } from './sinkColumns.ts';

type Texts = readonly (string | null)[];

/** More than this is more than the memory of a thread bears, and far below the 1 GiB that PostgreSQL takes of one value. */
export const rowBytesMax = 128 * 1024 * 1024;

/** `MaxHeapTupleSize`: a row lies on one page of 8 KiB. */
const tupleBytesMax = 8_160;
/** `BTMaxItemSize`: three entries of an index lie on one page. */
const indexEntryBytesMax = 2_704;
/** What a long value leaves in its row when it is moved out of line. */
const pointerBytes = 18;
/** Up to this size, a value is never moved out of line. */
const inlineBytesMax = 24;
/** Names of tenants have up to 63 characters. A key that fits for one tenant fits for each. */
const tenantBytes = 64;
/** `_run`, which is moved out of line, `_position` and `_order`. */
const originBytes = pointerBytes + 8 + 8;

const fixedBytes: Readonly<Partial<Record<SqlType, number>>> = {
  integer: 4,
  date: 4,
  bigint: 8,
  'double precision': 8,
  timestamptz: 8,
  time: 8,
  boolean: 1,
  uuid: 16,
};

/**
 * Whether a row is larger than a page, whatever PostgreSQL moves out of line; `undefined` where no row of the sink can be. Exact for
 * texts and for columns of one size, a lower bound for the others.
 * Source: PostgreSQL 18, 66.2 TOAST, https://www.postgresql.org/docs/18/storage-toast.html
 */
export function rowMeter(sink: SinkManifest): ((texts: Texts) => boolean) | undefined {
  const types = sink.columns.map(({ type }) => type);
  const own = 2 + originBytes + (isDigested(sink) ? pointerBytes : 0);
  const headerBytes = 24 + Math.ceil(types.length / 8);
  const most = types.reduce((sum, type) => sum + (fixedBytes[type] ?? inlineBytesMax) + 7, 0);
  if (headerBytes + own + tenantBytes + most <= tupleBytesMax) return undefined;
  return (texts) => {
    let sizeBytes = 24 + own;
    for (let i = 0; i < texts.length; i++) {
      const text = texts[i]!;
      if (text !== null) sizeBytes += fixedBytes[types[i]!] ?? leastBytes(types[i]!, text);
    }
    return sizeBytes > tupleBytesMax;
  };
}

/** Of a value that can be moved out of line, with its header of one byte. */
function leastBytes(type: SqlType, text: string): number {
  if (type === 'jsonb') return 5;
  const sizeBytes =
    type === 'text' ? 1 + (text.length < inlineBytesMax ? Buffer.byteLength(text) : text.length) : 3;
  return sizeBytes > inlineBytesMax ? pointerBytes : sizeBytes;
}

/**
 * Whether the index of the primary key cannot hold the key of a row. PostgreSQL compresses some longer keys and so takes them; here
 * it depends on the length alone.
 */
export function keyMeter(sink: SinkManifest): (texts: Texts) => boolean {
  const columns = (keyColumns(sink) ?? []).map((name) => {
    const i = sink.columns.findIndex((column) => column.name === name);
    return { i, fixed: fixedBytes[sink.columns[i]!.type] };
  });
  const long = columns.filter(({ fixed }) => fixed === undefined);
  if (long.length === 0) return () => false;
  return (texts) => {
    let units = 0;
    for (const { i } of long) units += texts[i]!.length;
    return units * 3 > 2_048 && entryBytes(columns, texts) > indexEntryBytesMax;
  };
}

function entryBytes(columns: readonly { i: number; fixed: number | undefined }[], texts: Texts): number {
  let end = tenantBytes;
  for (const { i, fixed } of columns) {
    if (fixed !== undefined)
      end = aligned(end, fixed % 8 === 0 && fixed < 16 ? 8 : fixed === 4 ? 4 : 1) + fixed;
    else {
      const sizeBytes = Buffer.byteLength(texts[i]!);
      end = sizeBytes <= 126 ? end + 1 + sizeBytes : aligned(end, 4) + 4 + sizeBytes;
    }
  }
  return 8 + aligned(end, 8);
}

function aligned(at: number, to: number): number {
  return Math.ceil(at / to) * to;
}
