import type { z } from 'zod';
import type { FormatManifest, SourceManifest } from '../pipelines/manifest.ts';
import type { CredentialProvider } from '../ports/credentials.ts';
import type { Extent, ListedSource, OpenOptions, OpenSource } from '../ports/sources.ts';
import type { AcceptedSource, SentKind } from '../sources/source.ts';
import type { ObjectsMark, Piece } from '../sources/watermark.ts';

/**
 * One kind of source: a folder of `connectors/sources/`. A caller sends the data of `upload` and `inline` with the
 * request; Waybill itself reads every other kind.
 */
export type SourceKind = SentSourceKind | PulledSourceKind;

interface SourceKindBase {
  /** One line, for lists. */
  readonly summary: string;
  /** What an author sets, next to `kind` and `format`. */
  readonly options: z.ZodObject;
  /** `chosen`: the author names a format. Otherwise the one format that every source of this kind has. */
  readonly format: 'chosen' | FormatManifest;
  /** Checks the options together with the input schema and completes them. Throws `DefinitionError`. */
  describe?(source: SourceManifest, input: z.ZodType): SourceManifest;
}

export interface SentSourceKind extends SourceKindBase {
  readonly kind: SentKind;
  readonly delivery: 'sent';
  /** Whether the data may follow its envelope, in requests that can be resumed. */
  readonly resumable?: true;
}

export interface PulledSourceKind extends SourceKindBase {
  readonly kind: string;
  readonly delivery: 'pulled';
  /** The option in which a request or a schedule may name another place to read, and in which the definition names its own. */
  readonly reference: 'path' | 'url';
  /** Whether a retry can read on from a byte; otherwise it reads from the start again. */
  readonly ranged: boolean;
  /** The cursors by which a run reads only what is new. */
  readonly cursors: readonly ('bytes' | 'field' | 'key' | 'lastModified')[];
  /** Whether it holds many objects, which a run lists first and then reads one after the other. */
  readonly listed?: boolean;
  /** Checks a reference and completes what the run is accepted with. Throws `SourceInvalid`. */
  accept?(defined: SourceManifest, accepted: AcceptedSource): AcceptedSource;
  /** Loads the implementation with its drivers; only workers and the check of a request do so. */
  load(): Promise<SourceReader>;
}

/** What the operator lets sources read. */
export interface SourceSettings {
  /** Folders below which files are read; none by default. */
  fileRoots: readonly string[];
  /** `host:port` of hosts that may be called although their address is not public. */
  egressAllow: readonly string[];
  /** The credential of a name, which is read again each time. Without it a source that names one cannot be read. */
  credentials?: ((name: string) => CredentialProvider) | undefined;
  /** Resolves names; default is the system’s resolver. */
  lookup?: unknown;
}

/** Reads sources of one kind. `test/conformance/sources.ts` says what every implementation must do. */
export interface SourceReader {
  /** Throws `SourceRefused` where it is plain that no worker would read the source, and nothing else. */
  check(source: AcceptedSource, settings: SourceSettings): Promise<void>;
  /** See `Sources.open`. */
  open(source: AcceptedSource, settings: SourceSettings, options: OpenOptions): Promise<OpenSource>;
  /** See `Sources.list`; for kinds that are listed. */
  list?(
    source: AcceptedSource,
    settings: SourceSettings,
    since: ObjectsMark | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ListedSource>;
  /** See `Sources.extent`; for kinds with the cursor `bytes`. */
  extent?(source: AcceptedSource, settings: SourceSettings, known: readonly Piece[]): Promise<Extent>;
}
