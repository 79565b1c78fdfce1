import { z } from 'zod';
import type { FormatKind, ReadRecord } from '../../../domain/connectors/formatKind.ts';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';
import { rejections } from '../../../domain/runs/rejection.ts';
import { readText, textLayout } from '../textRecords.ts';
import { CsvBoundaries } from './csvBoundaries.ts';
import { readFields } from './csvFields.ts';
import { readHeader } from './csvHeader.ts';

/**
 * RFC 4180 (`text/csv`), UTF-8, with a header line; LF or CRLF. Every field is text: let the input schema say what
 * it is (`text.integer()`, `text.date()`).
 * @param options.delimiter one ASCII character, default `,`
 * @param options.emptyAs what an empty field becomes: `'string'` (`''`, the default) or `'null'`
 */
export function csv(options: { delimiter?: string; emptyAs?: 'string' | 'null' } = {}): CsvManifest {
  return { name: 'csv', delimiter: options.delimiter ?? ',', emptyAs: options.emptyAs ?? 'string' };
}

interface CsvManifest extends FormatManifest {
  readonly name: 'csv';
  readonly delimiter: string;
  readonly emptyAs: 'string' | 'null';
}

export const csvFormat: FormatKind = {
  name: 'csv',
  summary: 'The first line names the columns.',
  mediaType: 'text/csv',
  options: z.object({
    delimiter: z
      .string()
      .regex(/^[\t\x20-\x7e]$/, 'must be one ASCII character')
      .regex(/^[^"]$/, 'cannot be a quote'),
    emptyAs: z.enum(['string', 'null']),
  }),
  locates: 'line',
  growing: true,
  takesRecords: false,
  create(manifest) {
    const { delimiter, emptyAs } = manifest as CsvManifest;
    return {
      kind: csvFormat,
      manifest,
      layout: textLayout(
        () => new CsvBoundaries(delimiter),
        (record) => readHeader(record, delimiter),
      ),
      read: ({ header, ...batch }, bytes, visit) =>
        readText(
          batch,
          bytes,
          new CsvBoundaries(delimiter),
          recordReader(header!, delimiter, emptyAs === 'null' ? null : ''),
          visit,
        ),
    };
  },
};

function recordReader(header: readonly string[], delimiter: string, empty: string | null) {
  return (text: string | undefined): ReadRecord => {
    if (text === undefined) return 'InvalidUtf8';
    const fields = readFields(text, delimiter);
    if (!fields) return 'MalformedCsv';
    if (fields.length !== header.length) {
      const message = `${rejections.WrongColumnCount.slice(0, -1)}: ${fields.length}, not ${header.length}.`;
      return { code: 'WrongColumnCount', path: '', message };
    }
    if (text.includes('\0')) return 'NulByte';
    const value: Record<string, string | null> = {};
    for (let i = 0; i < header.length; i++) value[header[i]!] = fields[i] === '' ? empty : fields[i]!;
    return { value };
  };
}
