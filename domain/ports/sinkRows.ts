/** The encoded rows of a batch. Their form is that of the sink’s encoder; repeated keys are already dropped. */
export interface EncodedRows {
  /** How many rows the transform emitted, with those that share a key with a later one. */
  emitted: number;
  sizeBytes: number;
  /** Can be read once. Throws `StageMismatch` at its end where the bytes are not the recorded ones. */
  chunks(): AsyncIterable<Uint8Array>;
}
