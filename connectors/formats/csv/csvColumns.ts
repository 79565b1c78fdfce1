import { isUtf8 } from 'node:buffer';
import type { z } from 'zod';
import type { FormatKind } from '../../../domain/connectors/formatKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';
import { defOf } from '../../../domain/pipelines/schemaParts.ts';
import { readFields } from './csvFields.ts';
import { type Csv, type CsvManifest, completed } from './csvManifest.ts';

const columnsMax = 1_000;

/**
 * Names of the columns, from the first record of a CSV. Every column is named, once, by a name that is safe as a
 * key of an object. Throws `HeaderInvalid`.
 */
export function readHeader(record: Buffer, csv: Csv): readonly string[] {
  if (!isUtf8(record))
    throw invalid(`The header is not valid ${csv.encoding === 'utf-8' ? 'UTF-8' : csv.encoding}.`);
  const text = record.toString().replace(/\r?\n$/, '');
  const names = readFields(text, csv.delimiter, csv.quote);
  if (!names)
    throw invalid(
      readFields(text.replaceAll('\r', ''), csv.delimiter, csv.quote) ? bareReturn : misplacedQuote,
    );
  if (names.length > columnsMax) throw invalid(`The header has more than ${columnsMax} columns.`);
  const seen = new Set<string>();
  names.forEach((name, i) => {
    if (name.trim() === '') throw invalid(`Column ${i + 1} has no name.`);
    if (seen.has(name)) throw invalid(`Column ${i + 1} has the name of an earlier column.`);
    if (name === '__proto__' || name.includes('\0'))
      throw invalid(`The name of column ${i + 1} is not allowed.`);
    seen.add(name);
  });
  checkHeader(names, csv);
  return names;
}

const bareReturn =
  'The header holds a carriage return without a line feed. End lines with LF or CRLF, not with CR alone.';
const misplacedQuote = 'A quote stands where CSV does not allow one. Quote the whole name.';

/** Without a required column every record would be rejected, and so by a column that the schema does not name, unless the pipeline keeps or drops it. */
export function checkHeader(header: readonly string[], csv: Csv): void {
  if (!csv.fields) return;
  const { known, required, open } = csv.fields;
  const fields = fieldsOf(header, csv);
  const missing = required.filter((name) => !fields.includes(name)).map((name) => headerNameOf(name, csv));
  const unknown = open ? [] : header.filter((_, i) => fields[i] !== null && !known.includes(fields[i]!));
  const twice = header.filter((_, i) => fields[i] !== null && fields.indexOf(fields[i]!) < i);
  if (missing.length === 0 && unknown.length === 0 && twice.length === 0) return;
  const said = [
    missing.length > 0 && `Missing: ${listed(missing)}.`,
    unknown.length > 0 && `Unknown: ${listed(unknown)}.`,
    twice.length > 0 && `For the same field as an earlier column: ${listed(twice)}.`,
    otherDelimiter(header, csv),
  ];
  throw invalid(`The columns are not the fields of the input. ${said.filter(Boolean).join(' ')}`);
}

/** The field of each column; `null` for a column that the definition leaves out. */
export function fieldsOf(header: readonly string[], { columns }: Csv): (string | null)[] {
  if (!columns) return [...header];
  if (isList(columns)) return [...columns];
  return header.map((name) => (Object.hasOwn(columns, name) ? columns[name]! : name));
}

function headerNameOf(field: string, { columns }: Csv): string {
  if (!columns || isList(columns)) return field;
  return Object.keys(columns).find((name) => columns[name] === field) ?? field;
}

/** A file with another delimiter has one column, named by the whole line. */
function otherDelimiter([only, ...others]: readonly string[], csv: Csv): string | undefined {
  if (others.length > 0) return undefined;
  const other = [';', '\t', '|', ','].find((delimiter) => {
    const names = delimiter === csv.delimiter ? undefined : readFields(only!, delimiter, csv.quote);
    return (
      names && names.length > 1 && fieldsOf(names, csv).some((name) => csv.fields!.known.includes(name!))
    );
  });
  return (
    other && `The file seems to use another delimiter: declare csv({ delimiter: ${JSON.stringify(other)} }).`
  );
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => JSON.stringify(name.slice(0, 64)));
  return names.length > 10 ? `${shown.join(', ')} and ${names.length - 10} more` : shown.join(', ');
}

function invalid(message: string): WaybillError {
  return new WaybillError('HeaderInvalid', { publicDetail: message, issues: [{ path: 'header', message }] });
}

/**
 * Completes the manifest with the fields of the input, by which a header is checked, and checks the columns that the
 * definition names. Throws `DefinitionError`.
 */
export function describeCsv(
  manifest: FormatManifest,
  { input, unknownFields }: Parameters<NonNullable<FormatKind['describe']>>[1],
): FormatManifest {
  const { columns, header, quote, delimiter } = completed(manifest);
  const fields = inputFields(input);
  if (quote === delimiter) wrong('quote', 'cannot be the delimiter');
  if (!header && !isList(columns))
    wrong('columns', 'must list the columns in their order, since the file has no header');
  if (header && isList(columns))
    wrong('columns', 'must say which column of the header is which field: { "Name": "name" }');
  const named = columns ? Object.values(columns).filter((name) => name !== null) : [];
  for (const [i, name] of named.entries()) {
    if (!fields.known.includes(name)) wrong('columns', `names “${name}”, which is not a field of the input`);
    if (named.indexOf(name) < i) wrong('columns', `names “${name}” twice`);
  }
  const missing = isList(columns) ? fields.required.filter((name) => !columns.includes(name)) : [];
  if (missing.length > 0) wrong('columns', `lacks ${listed(missing)}, which the input requires`);
  return { ...manifest, fields: { ...fields, ...(unknownFields && { open: true as const }) } };
}

/** A field is required where the schema rejects a record without it. */
function inputFields(input: z.ZodType): NonNullable<CsvManifest['fields']> {
  const fields = Object.entries<z.ZodType>(defOf(input).shape);
  const required = fields.filter(([, schema]) => !acceptsMissing(schema)).map(([name]) => name);
  return { known: fields.map(([name]) => name), required };
}

function acceptsMissing(schema: z.ZodType): boolean {
  try {
    return schema.safeParse(undefined).success;
  } catch {
    return true; // The author’s own code decides when it sees a record.
  }
}

function isList(columns: CsvManifest['columns']): columns is readonly (string | null)[] {
  return Array.isArray(columns);
}

function wrong(path: string, message: string): never {
  throw new DefinitionError('source', [{ path: `format.${path}`, message }]);
}
