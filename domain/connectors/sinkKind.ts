import type { z } from 'zod';
import type { Column, SinkManifest } from '../pipelines/manifest.ts';
import type { DestinationFile, DestinationRun, FileToWrite } from '../ports/destinations.ts';
import type { StagedRows } from '../ports/ledger.ts';
import type { EncodedRows, RejectedRecord } from '../ports/sinkRows.ts';
import type { RecordRejection } from '../runs/rejection.ts';
import type { Counts } from '../runs/run.ts';
import type { SourceSettings } from './sourceKind.ts';

/** One kind of sink: a folder of `connectors/sinks/`. */
export interface SinkKind {
  readonly kind: string;
  /** One line, for lists. */
  readonly summary: string;
  /** What an author sets, next to `kind`. */
  readonly options: z.ZodObject;
  /** Checks the options together with the columns of the output. Throws `DefinitionError`. */
  describe(options: Record<string, unknown>, columns: readonly Column[]): SinkManifest;
  /** Why two pipelines cannot write to the same table, as the end of a sentence: `with another key`. `undefined` where they can. */
  conflict(sink: SinkManifest, other: SinkManifest): string | undefined;
  /** Encodes rows in the threads of the engine. */
  encoder(sink: SinkManifest): RowEncoder;
  /** Writes rows in the transaction of the ledger. A kind has this or `load`. */
  readonly writer?: SinkWriter;
  /** Loads what writes rows elsewhere, with its drivers; only workers do so. See `Destinations`. */
  load?(): Promise<FileWriter>;
}

/** Writes the files of one kind. `test/conformance/destinations.ts` says what every implementation must do. */
export interface FileWriter {
  /** See `Destinations.write`. */
  write(run: DestinationRun, file: FileToWrite, settings: SinkSettings, signal?: AbortSignal): Promise<void>;
  /** See `Destinations.complete`. */
  complete(run: DestinationRun, files: readonly DestinationFile[], settings: SinkSettings): Promise<void>;
}

/** What the operator lets sources and sinks reach. */
export type SinkSettings = Pick<SourceSettings, 'egressAllow' | 'credentials' | 'lookup'>;

/** A row as the text of each column, in the order of the sink; `null` for no value. */
export type RowTexts = readonly (string | null)[];

/** Pure: the same rows give the same bytes. */
export interface RowEncoder {
  /** Begins the rows of a batch. `expectedBytes` is a guess. */
  begin(expectedBytes: number): RowWriter;
  /** Reads encoded rows back, at most `rowsMax`, for approvers. */
  read(bytes: Uint8Array, rowsMax: number): RowTexts[] | Promise<RowTexts[]>;
}

export interface RowWriter {
  /** Adds the rows of one record, all or none. Returns why the sink could not keep one of them. */
  add(position: number, rows: readonly Record<string, unknown>[]): RecordRejection | undefined;
  /** The same for one of several outputs: adds nothing before what it returns is called. A kind without it can be no such output. */
  encode?(position: number, rows: readonly Record<string, unknown>[]): RecordRejection | (() => void);
  /** @param slotted many rows may be put into slots by their key, so that a batch can be stored in lanes */
  finish(options?: { slotted: boolean }): EncodedBatch;
}

/** The bytes are the sink’s own form; others only keep and compare them. */
export interface EncodedBatch {
  /** No two rows share a key. */
  bytes: Uint8Array;
  /** Ordinals of added rows, ascending, that a later row with the same key replaced. */
  replaced: readonly number[];
  /** Where the rows are in slots, by `slotOf` their key: these, one after the other; each in the order of the source. */
  slots?: readonly Slot[];
}

/** A part of the encoded rows of a batch. */
export interface Slot {
  sizeBytes: number;
  /** With the rows that were replaced. */
  emitted: number;
}

/**
 * Writes rows in the caller’s transaction, so that they commit with the ledger, the dead letters and the audit event of
 * their batch, or of a lane of it. The caller holds the lock of tenant and table, or of the lane’s slots; `SinkTransaction` is a connection of its driver.
 */
interface SinkWriter {
  /** Makes what rows are written to, or widens it. Repeating it changes nothing. Throws `SinkIncompatible`. */
  prepare(transaction: SinkTransaction, sink: SinkManifest): Promise<void>;
  /** What `prepare` would do now, or cannot do. Changes nothing. */
  plan?(transaction: SinkTransaction, sink: SinkManifest): Promise<SinkChange[]>;
  /**
   * Brings the rows of a batch into the table and says what became of them. Of two rows with one key the later wins: first by the
   * order in which their runs were accepted, then by position in the source.
   */
  write(
    transaction: SinkTransaction,
    rows: RowsToWrite,
    options?: { moreFollow: boolean },
  ): Promise<RowCounts>;
  /**
   * The same after `write` failed for a row, of all outputs of a batch: leaves out the records that are to blame, from each output.
   * Throws what `write` throws where they are many. Without it such a batch fails the run.
   */
  writeApart?(
    transaction: SinkTransaction,
    outputs: readonly RowsToWrite[],
  ): Promise<{ counts: RowCounts[]; rejected: RejectedRecord[] }>;
  /** For pipelines that wait for an approval before `publish`, and sinks that write at the end; without it such a pipeline does not load. */
  readonly staged?: StagedWriter;
}

/**
 * One way in which what rows are written to differs from what the pipeline declares. `conflict`: `prepare` rejects it, as
 * `SinkIncompatible`; `missing`: rows that are there have no value for a required column, and `prepare` leaves them.
 */
export interface SinkChange {
  kind: 'create' | 'add' | 'rename' | 'widen' | 'nullable' | 'missing' | 'conflict';
  column?: string;
  /** What it is and, where that is for the user, what to do. */
  message: string;
  /** Of `missing`: how many rows. */
  nulls?: number;
}

/** Writes all rows of a run at once, after it says what that would change. */
export interface StagedWriter {
  /** Begins to keep the rows of a run where only this transaction sees them. */
  begin(transaction: SinkTransaction, sink: SinkManifest): Promise<void>;
  stage(transaction: SinkTransaction, sink: SinkManifest, batch: StagedRows): Promise<void>;
  /** After the last batch. */
  seal(transaction: SinkTransaction, sink: SinkManifest): Promise<void>;
  /** What publishing the staged rows would do now. */
  preview(transaction: SinkTransaction, run: SinkRun): Promise<StagedOutcome>;
  /** Brings the staged rows into the table. `stored`: how many were new or replaced another. */
  publish(transaction: SinkTransaction, run: SinkRun): Promise<PublishedRows>;
}

export interface StagedOutcome {
  batches: RowOutcome[];
  /** Where the run replaces all rows: those that would be there no more. */
  removed?: number;
}

export interface PublishedRows {
  stored: number;
  removed?: number;
  wrote: boolean;
}

/** The run that writes, and where. */
export interface SinkRun {
  tenant: string;
  runId: string;
  sink: SinkManifest;
  /** Position of the run in the order of acceptance. */
  order: string;
  /** An earlier run of the tenant is still open on the table: unchanged rows then change their origin too. */
  earlierOpen: boolean;
}

interface SinkTransaction {
  query(...statement: never[]): unknown;
}

export interface RowsToWrite extends SinkRun {
  rows: EncodedRows;
}

export type RowCounts = Pick<Counts, 'stored' | 'unchanged' | 'deduplicated'> & {
  /** Whether a row of the table differs now, if only by its origin. */
  wrote: boolean;
};

/** How a batch ends: its rows that are new, that replace one which differs, and that are there already. */
export interface RowOutcome {
  seq: number;
  added: number;
  changed: number;
  unchanged: number;
}
