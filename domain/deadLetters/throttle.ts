import { perSecondOf } from '../duration.ts';

/** The records of a throttled redrive come in bursts: so many seconds lie between two of them, or more where one is a single record. */
const burstSeconds = 5;

/** So many records the batches of a throttled redrive hold. */
export function burstOf(throttle: string): number {
  return Math.max(1, Math.floor(perSecondOf(throttle) * burstSeconds));
}

/** A redrive of so many records takes at least this long. */
export function leastMsOf(throttle: string, records: number): number {
  const bursts = Math.ceil(records / burstOf(throttle));
  return Math.floor((Math.max(0, bursts - 1) * burstOf(throttle) * 1_000) / perSecondOf(throttle));
}
