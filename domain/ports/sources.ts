import type { FormatManifest, SourceManifest } from '../pipelines/manifest.ts';
import type { Compression } from '../sources/compression.ts';
import type { Page, PagesManifest } from '../sources/pages.ts';
import type { AcceptedSource } from '../sources/source.ts';
import type { SourceReference } from '../sources/sourceReference.ts';
import type { ObjectsMark, Piece } from '../sources/watermark.ts';

/**
 * Data that Waybill itself reads: files below configured roots, and URLs that it may call. Reading is by GET or `open`
 * alone; nothing is ever written, and no credential is sent but the token of a source that asks for one.
 */
export interface Sources {
  /**
   * Opens a source and streams it from `fromByte` (default 0) on. Aborting the signal ends the stream.
   * Throws `SourceRefused` (outside the roots, not a regular file, an address that is not public, a redirect too
   * many, a token that a party on the way could read), `SourceUnavailable` (does not answer, not there, 5xx, stalled for 30 s), `SourceRejected` (4xx that does not pass by itself, an encoding that was not requested) and `SourceChanged` where
   * `options.version` is given and the source is no longer that version; the stream throws them too.
   */
  open(source: AcceptedSource, options?: OpenOptions): Promise<OpenSource>;
  /**
   * How far a file goes now, and its first bytes. Throws `SourceChanged` where the file is shorter than one of `known`, or has
   * other bytes there; otherwise as `open` does.
   */
  extent(source: AcceptedSource, known: readonly Piece[]): Promise<Extent>;
  /** Whether a source of this kind holds many objects, which are listed before they are read. */
  isListed(source: AcceptedSource): boolean;
  /**
   * The objects that a run reads, in the order in which it reads them. Of a source with a cursor those that came
   * after `since`; `through` is then the mark for the next run. Throws as `open` does.
   */
  list(source: AcceptedSource, since: ObjectsMark | undefined, signal?: AbortSignal): Promise<ListedSource>;
}

export interface ListedSource {
  objects: ListedObject[];
  through?: ObjectsMark;
}

/** One of the objects of a source, in one version. */
export interface ListedObject {
  url: string;
  version: string;
  sizeBytes: number;
}

/** What a request may hand over to a pipeline. The API asks it before a run is accepted. */
export interface Inputs {
  /**
   * The source that a run is accepted with. `dataFollows`: without records the data may come in requests of its own. Throws `SourceInvalid`, `InputRequired`, and `SourceRefused` where it is plain
   * that no worker would read it.
   */
  accept(
    defined: SourceManifest,
    given: { source: SourceReference | undefined; records: boolean; dataFollows?: boolean },
  ): Promise<AcceptedSource>;
  /** The format of a body; `undefined` as the media type for the records of an envelope. Throws `UnsupportedMediaType`. */
  format(defined: SourceManifest, mediaType: string | undefined): FormatManifest;
  /** The format of a source that callers send. */
  sentFormat(defined: SourceManifest): FormatManifest;
}

export interface Extent {
  sizeBytes: number;
  head: Piece;
  /** Newlines in each of the known pieces. */
  lines: number[];
}

export interface OpenOptions {
  fromByte?: number;
  /** Of a source with a cursor by field: only what is equal or later than `value`, asked for as `parameter`. */
  since?: { parameter: string; value: string };
  /** Of a file that grows: read to here and ignore what is appended later, as long as the file begins as it did. */
  growing?: { untilByte: number; head: Piece };
  /** What an earlier `open` said of the source that is now being read on. */
  version?: string | null;
  /** By what the data is expected to be compressed, which a server may be asked for. */
  compression?: Compression | undefined;
  /** Of a source that is listed: which of its objects, in the version that was listed. */
  object?: ListedObject;
  /** Of a source of many pages: which one, and how it leads to the next. */
  page?: Page;
  pages?: PagesManifest;
  signal?: AbortSignal | undefined;
  /**
   * Gives a new token for the origin of a URL that is read as the caller. It is sent there and nowhere else, and asked for
   * again where the server refuses the one before.
   */
  token?: (origin: string) => Promise<string>;
}

export interface OpenSource {
  stream: AsyncIterable<Uint8Array>;
  /** Of a page: where it was found after all redirects, and the URL of the next one, if the page names one. */
  url?: string;
  next?: string | undefined;
  /** By what the stream is compressed, where the source itself says so. */
  encoding?: Compression | undefined;
  /**
   * Changes whenever the bytes do: the entity tag or date of a URL, size and modification time of a file (of one that grows, which
   * file it is). `null`
   * where a server says nothing: a resumed read cannot know that it continues in the same bytes, and begins
   * again from byte 0, comparing digests.
   */
  version: string | null;
}
