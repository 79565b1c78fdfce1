import type { FormatManifest } from './manifest.ts';

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
 */
export function file<F extends FormatManifest>(format: F, options: { path?: string } = {}): FileSource<F> {
  return { kind: 'file', format, ...options };
}

/**
 * Waybill reads a URL by GET. Only public hosts are read, unless `WAYBILL_EGRESS_ALLOW` names the host.
 * Without `url` the caller names it: `{ "source": { "url": … } }`.
 * @param options.auth `'caller'`: the request carries a token of a few minutes that says for whom the run is, and is
 * good for the origin of the URL alone. Default: no credentials are sent.
 */
export function http<F extends FormatManifest>(
  format: F,
  options: { url?: string; auth?: 'caller' } = {},
): HttpSource<F> {
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
export type FileSource<F = FormatManifest> = { kind: 'file'; format: F; path?: string };
export type HttpSource<F = FormatManifest> = { kind: 'http'; format: F; url?: string; auth?: 'caller' };
export type CsvFormat = { name: 'csv'; delimiter: string; emptyAs: 'string' | 'null' };
