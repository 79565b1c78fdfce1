/** What became of the rows of one of several outputs: `emitted = stored + unchanged + deduplicated`. */
export interface OutputCounts {
  emitted: number;
  stored: number;
  unchanged: number;
  deduplicated: number;
}

/** Their sums over the outputs are those of `Counts`. */
export type CountsByOutput = Readonly<Record<string, OutputCounts>>;

export const zeroOutputCounts: OutputCounts = Object.freeze({
  emitted: 0,
  stored: 0,
  unchanged: 0,
  deduplicated: 0,
});

export function addOutputCounts(a: OutputCounts, b: OutputCounts): OutputCounts {
  return {
    emitted: a.emitted + b.emitted,
    stored: a.stored + b.stored,
    unchanged: a.unchanged + b.unchanged,
    deduplicated: a.deduplicated + b.deduplicated,
  };
}
