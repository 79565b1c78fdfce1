/** Rows encoded for one kind of sink. Their form is that sink’s own; others only count them. Repeated keys are already dropped. */
export interface EncodedRows {
  count: number;
  /** Rows that a later one of the same key in this batch replaced. */
  deduplicated: number;
}
