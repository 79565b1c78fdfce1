/**
 * Why a single record is refused. A refused record becomes a dead letter and the run goes on.
 * Pipelines add codes of their own with `reject(code)`; these are the ones that Waybill itself gives.
 */
export const rejections = {
  MalformedJson: 'The record is not valid JSON.',
  NotAnObject: 'The record is JSON, but not an object.',
  TooDeep: 'The record nests deeper than 64 levels.',
  DuplicateKey: 'A key stands twice in one object.',
  NumberInexact: 'The number has more digits than its field can hold.',
  TimeInexact: 'The time has more digits of a second than its field can hold.',
  OffsetMissing: 'The time has no offset, so it names no instant.',
  UnsafeKey: 'The record has a key that could change an object’s prototype.',
  InvalidUtf8: 'The record is not valid UTF-8.',
  InvalidEncoding: 'The record holds bytes that are no characters of the declared encoding.',
  NulByte: 'The record holds a NUL character, which PostgreSQL cannot keep.',
  WrongColumnCount: 'The record has another number of fields than the header.',
  MalformedCsv: 'A quote or a carriage return stands where CSV does not allow one.',
  UnterminatedQuote: 'A quoted field is still open at the end of the data.',
  RecordTooLarge: 'The record is larger than the pipeline allows.',
  UnknownField: 'The record has a field that the input schema does not name.',
  SchemaMismatch: 'The record does not fit the input schema.',
  NotJson: 'The value holds what JSON cannot, such as NaN, a Map, an invalid date or undefined in a list.',
  KeyTooLarge: 'The key is longer than an entry of an index of PostgreSQL can be.',
  RowTooLarge: 'The row is larger than a row of PostgreSQL can be.',
  RowRejected: 'The table rejects the row, by a constraint or a trigger of its own.',
  LookupMissed: 'No value was found for the record.',
  LookupMismatch: 'The value found for the record does not fit its schema.',
  OutputMismatch: 'What the transform returned does not fit the output schema.',
} as const satisfies Record<string, string>;

export type RejectionCode = keyof typeof rejections;

/** Why a record is rejected, without where it is. */
export type RecordRejection = Pick<Rejection, 'code' | 'path' | 'message'>;

/** Where a record is: in the run, in its source, and in the bytes of its source. */
export type RecordPlace = Pick<Rejection, 'position' | 'line' | 'rowGroup' | 'byteOffset' | 'byteLength'>;

/** What the locator of a record counts: lines from 1, items of an array from 0, or rows of a row group from 0. */
export type Locates = 'line' | 'index' | 'row';

/** Where a record is, for people: `line 3`, `item 2`, `row 5 of row group 1`. */
export function locatorText(
  locates: Locates,
  { line, rowGroup }: Pick<RecordPlace, 'line' | 'rowGroup'>,
): string {
  if (rowGroup !== undefined) return `row ${line} of row group ${rowGroup}`;
  return `${locates === 'index' ? 'item' : locates} ${line}`;
}

/** One refused record, as a stage reports it; the store writes it as a dead letter. */
export interface Rejection {
  /** Ordinal of the record in the run, from 0. */
  position: number;
  /** What its format counts (`Locates`): mostly the line on which the record begins in the source, from 1. */
  line: number;
  /** Of Parquet: in which row group the row is, from 0. */
  rowGroup?: number;
  /** Where its bytes begin in the source, and how many they are. */
  byteOffset: number;
  byteLength: number;
  /** A `RejectionCode`, or a code of the pipeline’s own. */
  code: string;
  /** Dotted path of the offending field, `''` for the whole record. */
  path: string;
  /** The validator’s message. Never a value of the record. */
  message: string;
}
