import { z } from 'zod';
import { parseDuration } from '../duration.ts';

/** How long each part of a run is kept after its end, in milliseconds; `null`: for ever. Nothing of a run outlives its record. */
export interface Retention {
  /** The bytes that the source sent. */
  input: number | null;
  /** The record of the run, with its batches, ledger, approvals and deliveries. The audit log stays. */
  runs: number | null;
  /** Its rejected records that were stored or discarded in the end. The others stay as long as the record of the run. */
  deadLetters: number | null;
  /** What each step decided, batch by batch. */
  stages: number | null;
}

const dayMs = 86_400_000;
const retentionMinMs = 3_600_000;
const retentionMaxMs = 36_600 * dayMs;

/** Where neither the pipeline nor the project says otherwise. */
const defaultRetention: Retention = Object.freeze({
  input: 90 * dayMs,
  runs: 400 * dayMs,
  deadLetters: 90 * dayMs,
  stages: 7 * dayMs,
});

const kept = z
  .string()
  .refine((text) => {
    const ms = parseDuration(text);
    return text === 'forever' || (ms !== undefined && ms >= retentionMinMs && ms <= retentionMaxMs);
  }, 'must be “forever” or a duration such as 12h, 30d or 52w, of 1h to 36600d')
  .transform((text) => parseDuration(text) ?? null)
  .optional();

/** As a definition or a project writes it; what it leaves out is for the next of them. */
export const WrittenRetention = z.strictObject({ input: kept, runs: kept, deadLetters: kept, stages: kept });

/** The first that says something about a part decides it. */
export function retentionOf(...written: readonly (Partial<Retention> | undefined)[]): Retention {
  const merged = { ...defaultRetention };
  for (const one of written.toReversed())
    for (const [part, ms] of Object.entries(one ?? {}))
      if (ms !== undefined) merged[part as keyof Retention] = ms;
  return merged;
}
