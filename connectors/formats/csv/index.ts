import type { FormatKind, ReadRecord } from '../../../domain/connectors/formatKind.ts';
import { rejections } from '../../../domain/runs/rejection.ts';
import { readText, textLayout } from '../textRecords.ts';
import { CsvBoundaries } from './csvBoundaries.ts';
import { checkHeader, describeCsv, fieldsOf, readHeader } from './csvColumns.ts';
import { readFields } from './csvFields.ts';
import { type Csv, type CsvManifest, type CsvOptions, completed, csvOptions } from './csvManifest.ts';
import { decodeText } from './decodeText.ts';

/**
 * RFC 4180 (`text/csv`), with a header line unless declared otherwise; LF or CRLF. Every field is text, spaces included:
 * let the input schema say what it is (`text.integer()`, `text.date()`). See `CsvOptions` and docs/connectors/csv.md.
 * @example csv({ delimiter: ';', columns: { 'Amount $': 'amount' } })
 */
export function csv(options: CsvOptions = {}): CsvManifest {
  return { name: 'csv', delimiter: ',', emptyAs: 'string', ...options };
}

/** CSV with tabs. */
export function tsv(options: Omit<CsvOptions, 'delimiter'> = {}): CsvManifest {
  return csv({ ...options, delimiter: '\t' });
}

export const csvFormat: FormatKind = {
  name: 'csv',
  summary: 'Rows of text. The first line names the columns.',
  mediaType: 'text/csv',
  options: csvOptions,
  locates: 'line',
  growing: true,
  takesRecords: false,
  describe: describeCsv,
  create(manifest) {
    const csv = completed(manifest);
    const boundaries = () => new CsvBoundaries(csv.delimiter, csv.quote);
    const { encoding } = csv;
    return {
      kind: csvFormat,
      manifest,
      ...(encoding !== 'utf-8' && { unpack: (bytes) => decodeText(bytes, encoding) }),
      layout: textLayout(boundaries, {
        advice: (other) => `Declare csv({ encoding: '${other}' }).`,
        ...(csv.header && { readHeader: (record: Buffer) => readHeader(record, csv) }),
      }),
      read: ({ header, ...batch }, bytes, visit) => {
        if (header) checkHeader(header, csv);
        return readText(batch, bytes, boundaries(), recordReader(header ?? [], csv), visit);
      },
    };
  },
};

function recordReader(header: readonly string[], csv: Csv) {
  const { delimiter, quote, encoding } = csv;
  const fields = fieldsOf(header, csv);
  const empty = csv.emptyAs === 'null' ? null : '';
  return (text: string | undefined): ReadRecord => {
    if (text === undefined) return encoding === 'utf-8' ? 'InvalidUtf8' : 'InvalidEncoding';
    const texts = readFields(text, delimiter, quote);
    if (!texts) return 'MalformedCsv';
    if (texts.length !== fields.length) {
      const message = `${rejections.WrongColumnCount.slice(0, -1)}: ${texts.length}, not ${fields.length}.`;
      return { code: 'WrongColumnCount', path: '', message };
    }
    if (text.includes('\0')) return 'NulByte';
    const value: Record<string, string | null> = {};
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!;
      if (field !== null) value[field] = texts[i] === '' ? empty : texts[i]!;
    }
    return { value };
  };
}
