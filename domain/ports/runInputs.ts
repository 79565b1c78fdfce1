import type { AuditEvent } from '../audit.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { Batch } from '../runs/batch.ts';
import type { Run, RunRef } from '../runs/run.ts';
import type { Compression } from '../sources/compression.ts';

/**
 * The inputs of runs that follow in requests of their own. One request at a time writes: it holds the input, and the next one
 * takes it over. All of it throws `DatabaseUnavailable`.
 */
export interface RunInputs {
  /** How many inputs of a principal are open. */
  countOpen(tenant: string, principal: string): Promise<number>;
  find(run: RunRef): Promise<RunInput | undefined>;
  /**
   * Lets a request write, if the input is open and continues where the request does. `undefined` otherwise; `find` says why.
   * What the first request says of compression and length holds for all.
   */
  take(run: RunRef, holder: string, request: InputPosition): Promise<TakenInput | undefined>;
  isHeldBy(run: RunRef, holder: string): Promise<boolean>;
  /**
   * Notes how far the input is durable, and starts the run with its first batch. The same batch again changes nothing. Throws
   * `UploadSuperseded` where another request has the input, `RunEnded` where it is no longer open.
   */
  advance(run: RunRef, holder: string, progress: InputProgress): Promise<void>;
  /**
   * The last byte is durable. Starts the run if nothing has. Resolves with the run, and with the digests of the parts that no batch
   * names. Throws as `advance` does.
   */
  seal(run: RunRef, holder: string, audit: AuditEvent): Promise<{ run: Run; unnamed: string[] }>;
  /** The data is of no use: the run will fail as `UploadIncomplete`. */
  breakOff(run: RunRef, holder: string, audit: AuditEvent): Promise<void>;
}

interface InputPosition {
  offsetBytes: number;
  compression: Compression | undefined;
  lengthBytes: number | undefined;
}

interface InputProgress {
  receivedBytes: number;
  batch?: Batch;
  /** What is durable behind the last batch. */
  tail?: Uint8Array | undefined;
  parts?: readonly InputPart[];
}

/** A piece of the input as it was sent: an object of the run. */
export interface InputPart {
  digest: string;
  sizeBytes: number;
}

export interface RunInput {
  state: 'open' | 'complete' | 'ended';
  receivedBytes: number;
  lengthBytes: number | undefined;
  compression: Compression | undefined;
  /** RFC 3339; at that time an open one is abandoned. */
  expiresAt: string;
  manifest: Manifest;
}

export interface TakenInput extends RunInput {
  tail: Uint8Array | undefined;
  parts: readonly InputPart[];
  /** The last batch so far. */
  last: Batch | undefined;
}
