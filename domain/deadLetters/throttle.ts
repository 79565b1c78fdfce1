/** How many records of a redrive are worked on in a second, minute or hour at most, such as `50/s`. */
export const throttlePattern = /^[1-9]\d{0,5}\/[smh]$/;

const unitSeconds = { s: 1, m: 60, h: 3_600 } as const;

export function recordsPerSecondOf(throttle: string): number {
  const [count, unit] = throttle.split('/') as [string, keyof typeof unitSeconds];
  return Number(count) / unitSeconds[unit];
}

/** The records of a throttled redrive come in bursts: so many seconds lie between two of them, or more where one is a single record. */
const burstSeconds = 5;

/** So many records the batches of a throttled redrive hold. */
export function burstOf(throttle: string): number {
  return Math.max(1, Math.floor(recordsPerSecondOf(throttle) * burstSeconds));
}

/** A redrive of so many records takes at least this long. */
export function leastMsOf(throttle: string, records: number): number {
  const bursts = Math.ceil(records / burstOf(throttle));
  return Math.floor((Math.max(0, bursts - 1) * burstOf(throttle) * 1_000) / recordsPerSecondOf(throttle));
}
