import type { RecordRejection } from '../runs/rejection.ts';

/**
 * Version of the form in which sinks encode rows. Count it up with each change of the bytes that equal rows give: the rows of runs
 * that are under way then are encoded again, and nothing is read in another form than it was written.
 */
export const encodedForm = 1;

/** The encoded rows of a batch. Their form is that of the sink’s encoder; repeated keys are already dropped. */
export interface EncodedRows {
  /** How many rows the transform emitted, with those that share a key with a later one. */
  emitted: number;
  sizeBytes: number;
  /** Can be read once. Throws `StageMismatch` at its end where the bytes are not the recorded ones. */
  chunks(): AsyncIterable<Uint8Array>;
  /** The rows of some slots, ascending, where the batch can be stored in lanes; all of them together are the rows. */
  ofSlots?(slots: readonly number[]): EncodedRows;
}

/** A record that is not stored, since the sink rejects a row of it. */
export interface RejectedRecord {
  position: number;
  /** So many rows of it were to be written. */
  rows: number;
  reason: RecordRejection;
}
