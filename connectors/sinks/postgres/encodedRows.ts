import type { EncodedRows } from '../../../domain/ports/sinkRows.ts';

/** Rows as PostgreSQL array literals, one per column of the sink in its order. */
export interface PostgresRows extends EncodedRows {
  /** Array literals (`{"a","b"}`) to be cast to `<type>[]`. */
  columns: readonly string[];
  /** Array literal of the source position of each row, to be cast to `bigint[]`. */
  positions: string;
  /** Array literal of the digest of each row, where the key is `row-digest`. */
  digests?: string;
}
