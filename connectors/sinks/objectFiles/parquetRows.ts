import type { SchemaElement } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import type { RowEncoder, RowTexts } from '../../../domain/connectors/sinkKind.ts';
import { defaultLimits, type SinkManifest, type SqlType } from '../../../domain/pipelines/manifest.ts';
import { cutParquet } from '../../formats/parquet/cutParquet.ts';
import { readLines } from './ndjsonRows.ts';
import { rowTextsOf } from './rowTexts.ts';

/**
 * An Apache Parquet file with the rows of a batch. Each column is of the logical type that keeps its values; what has any number of
 * digits (`numeric`) is text.
 */
export function createParquetEncoder(sink: SinkManifest): RowEncoder {
  const types = sink.columns.map(({ type }) => parquetTypes[type]);
  const schema: SchemaElement[] = [
    { name: 'root', num_children: types.length },
    ...sink.columns.map(({ name, nullable }, i) => ({
      name,
      repetition_type: nullable ? ('OPTIONAL' as const) : ('REQUIRED' as const),
      ...types[i]!.element,
    })),
  ];
  return {
    begin() {
      const data: unknown[][] = types.map(() => []);
      return {
        add(_position, rows) {
          const texts = rowTextsOf(sink, rows);
          if ('code' in texts) return texts;
          for (const row of texts)
            for (let i = 0; i < types.length; i++)
              data[i]!.push(row[i] === null ? null : types[i]!.valueOf(row[i]!));
          return undefined;
        },
        finish() {
          if (data[0]!.length === 0) return { bytes: new Uint8Array(), replaced: [] };
          const columnData = sink.columns.map(({ name }, i) => ({ name, data: data[i]! }));
          const options = { columnData, schema, rowGroupSize: rowGroupRows, createdBy: 'waybill' };
          return { bytes: new Uint8Array(parquetWriteBuffer(options as never)), replaced: [] };
        },
      };
    },
    read: (bytes, rowsMax) => readRows(sink, bytes, rowsMax),
  };
}

const rowGroupRows = 100_000;

interface ParquetType {
  element: Omit<SchemaElement, 'name'>;
  valueOf(text: string): unknown;
}

const text: ParquetType = {
  element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  valueOf: (one) => one,
};

const parquetTypes: Readonly<Record<SqlType, ParquetType>> = {
  text,
  numeric: text,
  integer: { element: { type: 'INT32' }, valueOf: Number },
  bigint: { element: { type: 'INT64' }, valueOf: BigInt },
  'double precision': { element: { type: 'DOUBLE' }, valueOf: Number },
  boolean: { element: { type: 'BOOLEAN' }, valueOf: (one) => one === 't' },
  timestamptz: {
    element: {
      type: 'INT64',
      converted_type: 'TIMESTAMP_MICROS',
      logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    },
    valueOf: (one) => BigInt(Date.parse(`${one.slice(0, 19)}Z`)) * 1_000n + microsOf(one.slice(19)),
  },
  date: {
    element: { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } },
    valueOf: (one) => Date.parse(one) / 86_400_000,
  },
  time: {
    element: {
      type: 'INT64',
      converted_type: 'TIME_MICROS',
      logical_type: { type: 'TIME', isAdjustedToUTC: false, unit: 'MICROS' },
    },
    valueOf: (one) => BigInt(Date.parse(`1970-01-01T${one.slice(0, 8)}Z`)) * 1_000n + microsOf(one.slice(8)),
  },
  uuid: {
    element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type: { type: 'UUID' } },
    valueOf: (one) => one,
  },
  // The logical type JSON without the old converted type is bytes to DuckDB, and with it the library would lose digits.
  jsonb: text,
};

/** Of the digits behind a second, such as `.25Z`. */
function microsOf(rest: string): bigint {
  return BigInt((/^\.(\d+)/.exec(rest)?.[1] ?? '').padEnd(6, '0'));
}

async function readRows(sink: SinkManifest, bytes: Uint8Array, rowsMax: number): Promise<RowTexts[]> {
  const file = {
    sizeBytes: bytes.byteLength,
    read: async (first: number, sizeBytes: number) => bytes.subarray(first, first + sizeBytes),
  };
  const limits = { ...defaultLimits, batchRecords: rowsMax, recordBytes: Number.POSITIVE_INFINITY };
  for await (const piece of cutParquet(file, limits))
    if (piece instanceof Uint8Array) return readLines(sink, Buffer.from(piece).toString(), rowsMax);
  return [];
}
