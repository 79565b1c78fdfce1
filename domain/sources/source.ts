import type { FormatManifest } from '../pipelines/manifest.ts';

/** The caller sends the data itself, as the body of a request. */
export function upload<F extends FormatManifest>(format: F): UploadSource<F> {
  return { kind: 'upload', format };
}

/** The caller sends the records inside the envelope: `{ "records": [ … ] }`. For few records. */
export function inline(): InlineSource {
  return { kind: 'inline' };
}

/**
 * Waybill reads a file below one of its configured roots (`WAYBILL_FILE_ROOTS`).
 * Without `path` the caller names it: `{ "source": { "path": … } }`.
 * @param options.cursor `'bytes'`: the file grows, and each run reads the records that were completed since the last. One that became
 * shorter, or begins otherwise, ends the run as `SourceChanged`. Default: each run reads all of it.
 */
export function file<F extends FormatManifest>(
  format: F,
  options: { path?: string; cursor?: 'bytes' } = {},
): FileSource<F> {
  return { kind: 'file', format, ...options };
}

/**
 * Waybill reads a URL by GET. Only public hosts are read, unless `WAYBILL_EGRESS_ALLOW` names the host.
 * Without `url` the caller names it: `{ "source": { "url": … } }`.
 * @param options.auth `'caller'`: the request carries a token of a few minutes that says for whom the run is, and is
 * good for the origin of the URL alone. Default: no credentials are sent.
 * @param options.cursor each run asks for what came since the run before, see `Cursor`. Default: each run reads all of it.
 */
export function http<F extends FormatManifest, Field extends string = never>(
  format: F,
  options: { url?: string; auth?: 'caller'; cursor?: Cursor<Field> } = {},
): HttpSource<F, Field> {
  return { kind: 'http', format, ...options };
}

/** One JSON object a line (`application/x-ndjson`), UTF-8. Empty lines are skipped. */
export function ndjson(): { name: 'ndjson' } {
  return { name: 'ndjson' };
}

/**
 * RFC 4180 (`text/csv`), UTF-8, with a header line; LF or CRLF. Every field is text: let the input schema say what
 * it is (`z.coerce.number()`, `z.iso.date()`).
 * @param options.delimiter one ASCII character, default `,`
 * @param options.emptyAs what an empty field becomes: `'string'` (`''`, the default) or `'null'`
 */
export function csv(options: { delimiter?: string; emptyAs?: 'string' | 'null' } = {}): CsvFormat {
  return { name: 'csv', delimiter: options.delimiter ?? ',', emptyAs: options.emptyAs ?? 'string' };
}

export type Source = UploadSource | InlineSource | FileSource | HttpSource;
export type UploadSource<F = FormatManifest> = { kind: 'upload'; format: F };
export type InlineSource = { kind: 'inline' };
export type FileSource<F = FormatManifest> = { kind: 'file'; format: F; path?: string; cursor?: 'bytes' };
export type HttpSource<F = FormatManifest, Field extends string = string> = {
  kind: 'http';
  format: F;
  url?: string;
  auth?: 'caller';
  cursor?: Cursor<Field>;
};

/**
 * How a source is asked for what is new: by GET of its URL with `<parameter>=<watermark>` in the query. The watermark is the
 * highest value of `field` that earlier runs have read and stored. The source answers with what is equal or later; what is equal
 * comes twice, and the key of the sink makes that harmless.
 */
export interface Cursor<Field extends string = string> {
  /** Of the input: an ISO date-time with offset, a date or a whole number, never null or missing. */
  field: Field;
  /** Such as `since`. */
  parameter: string;
  /** What the first run sends, in the notation of the field. Default: nothing, so that it reads all there is. */
  initial?: string | number;
}
export type CsvFormat = { name: 'csv'; delimiter: string; emptyAs: 'string' | 'null' };
