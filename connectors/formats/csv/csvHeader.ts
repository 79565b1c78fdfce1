import { isUtf8 } from 'node:buffer';
import { WaybillError } from '../../../domain/errors.ts';
import { readFields } from './csvFields.ts';

const columnsMax = 1_000;

/**
 * Names of the columns, from the first record of a CSV. Every column is named, once, by a name that is safe as a
 * key of an object. Throws `HeaderInvalid`.
 */
export function readHeader(record: Buffer, delimiter: string): readonly string[] {
  if (!isUtf8(record)) throw invalid('The header is not valid UTF-8.');
  const names = readFields(record.toString().replace(/\r?\n?$/, ''), delimiter);
  if (!names)
    throw invalid(
      'A quote or a carriage return stands where CSV does not allow one. End lines with LF or CRLF, and quote the whole name.',
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
  return names;
}

function invalid(message: string): WaybillError {
  return new WaybillError('HeaderInvalid', { publicDetail: message, issues: [{ path: 'header', message }] });
}
