import type { FormatManifest } from '../pipelines/manifest.ts';

/** What a builder of a source returns. `connectors/sources/` has the kinds. */
export interface Source {
  kind: string;
  format?: FormatManifest;
  // biome-ignore lint/suspicious/noExplicitAny: each kind has a cursor of its own
  cursor?: any;
}

/** How a caller sends data: as the body of a request, or as records inside its envelope. Every other kind Waybill reads itself. */
export type SentKind = 'upload' | 'inline';

export function isPulled({ kind }: { kind: string }): boolean {
  return kind !== 'upload' && kind !== 'inline' && kind !== lettersKind && kind !== retriedKind;
}

/** The source of a run that stores dead letters. No definition names it. */
export const lettersKind = 'deadLetters';

/** The source of a run that is another one again: its input is that of the other. */
export const retriedKind = 'run';

export function isOfLetters({ kind }: { kind: string }): boolean {
  return kind === lettersKind;
}

/** What a run reads, as it was accepted: the place is known, and the request’s own reference is in it. */
export interface AcceptedSource {
  readonly kind: string;
  /** The caller sends the data in requests of its own, which can be resumed. */
  readonly resumable?: true;
  readonly path?: string;
  readonly url?: string;
  /** The identity under which the URL is read. */
  readonly auth?: 'caller';
  /** Of an object store: which keys, and below which folder they begin. */
  readonly glob?: string;
  readonly below?: string;
  /** By which a run reads only the objects that are new. */
  readonly order?: 'key' | 'lastModified';
  readonly endpoint?: string;
  readonly region?: string;
  /** The name of what it is read with; never a secret. */
  readonly credentials?: string;
  /** How many dead letters it is. */
  readonly letters?: number;
  /** How many of them are worked on in a time, such as `50/s`. */
  readonly throttle?: string;
  /** The run of which this one is the retry. */
  readonly run?: string;
}

/**
 * How a source is asked for what is new. The watermark is the highest value of `field` that earlier runs have read and
 * stored. The source answers with what is equal or later; what is equal comes twice, and the key of the sink makes that
 * harmless.
 */
export interface Cursor<Field extends string = string> {
  /** Of the input: an ISO date-time with offset, a date or a whole number, never null or missing. */
  field: Field;
  /** Such as `since`. */
  parameter: string;
  /** What the first run sends, in the notation of the field. Default: nothing, so that it reads all there is. */
  initial?: string | number;
}
