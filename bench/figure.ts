/** A figure: its name, its value, and its goal where there is one. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  goal?: string;
  /** Whether the goal is met; absent without a goal. */
  met?: boolean;
}

/** The value below which `share` (0 to 1) of the values lie. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
