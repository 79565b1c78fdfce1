import type { Piece } from '../sources/watermark.ts';

/**
 * Data that Waybill itself reads: files below configured roots, and URLs that it may call. Reading is by GET or `open`
 * alone; nothing is ever written, and no credential is sent but the token of a source that asks for one.
 */
export interface Sources {
  /**
   * Opens a source and streams it from `fromByte` (default 0) on. Aborting the signal ends the stream.
   * Throws `SourceRefused` (outside the roots, not a regular file, an address that is not public, a redirect too
   * many, a token that anybody on the way could read), `SourceUnavailable` (does not answer, not there, 4xx or 5xx, stalled for 30 s) and `SourceChanged` where
   * `options.version` is given and the source is no longer that version; the stream throws them too.
   */
  open(source: PulledSource, options?: OpenOptions): Promise<OpenSource>;
  /**
   * How far a file goes now, and its first bytes. Throws `SourceChanged` where the file is shorter than one of `known`, or has
   * other bytes there; otherwise as `open` does.
   */
  extent(path: string, known: readonly Piece[]): Promise<Extent>;
}

export interface Extent {
  sizeBytes: number;
  head: Piece;
  /** Newlines in each of the known pieces. */
  lines: number[];
}

export type PulledSource =
  | { kind: 'file'; path: string }
  | { kind: 'http'; url: string /** as whom it is read */; auth?: 'caller' };

export interface OpenOptions {
  fromByte?: number;
  /** Of a file that grows: read to here, and do not mind what is appended meanwhile, as long as it begins as it did. */
  growing?: { untilByte: number; head: Piece };
  /** What an earlier `open` said of the source that is now being read on. */
  version?: string | null;
  signal?: AbortSignal;
  /**
   * Gives a new token for the origin of a URL that is read as the caller. It is sent there and nowhere else, and asked for
   * again where the server refuses the one before.
   */
  token?: (origin: string) => Promise<string>;
}

export interface OpenSource {
  stream: AsyncIterable<Uint8Array>;
  /**
   * Changes whenever the bytes do: the entity tag or date of a URL, size and modification time of a file (of one that grows, which
   * file it is). `null`
   * where a server says nothing: whoever resumes then cannot know that it reads on in the same bytes, and begins
   * again from byte 0, comparing digests.
   */
  version: string | null;
}
