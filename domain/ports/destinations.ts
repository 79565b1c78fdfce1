import type { SinkManifest } from '../pipelines/manifest.ts';

/**
 * Sinks that no transaction of the ledger reaches. The files of a run are written first, under names that run and batch give, so that
 * writing them again changes nothing. Then the ledger records the run, once. Then `complete` makes the files visible, all of
 * them; a reader sees a run whole or not at all.
 *
 * Throws `SinkUnavailable`, `SinkRefused`, `SinkRejected`.
 */
export interface Destinations {
  /** Whether a kind of sink is one. */
  has(kind: string): boolean;
  /** Writes the rows of a batch. Repeating it changes nothing. */
  write(run: DestinationRun, file: FileToWrite, signal?: AbortSignal): Promise<void>;
  /** Makes the files of the run visible. Called after the ledger has recorded it. Repeating it changes nothing. */
  complete(run: DestinationRun, files: readonly DestinationFile[]): Promise<void>;
}

export interface DestinationRun {
  tenant: string;
  runId: string;
  pipeline: string;
  version: number;
  definitionDigest: string;
  sink: SinkManifest;
}

/** The encoded rows of a batch, as the step `transform` recorded them. */
export interface DestinationFile {
  seq: number;
  rows: number;
  sizeBytes: number;
  /** Lower-case hex. */
  sha256: string;
}

export interface FileToWrite extends DestinationFile {
  chunks(): AsyncIterable<Uint8Array>;
}
